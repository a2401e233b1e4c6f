// Filters and the Services they and rules refer to. See route.h.
#include <fmt/format.h>

#include <algorithm>

#include "agent/derive/route.h"

namespace weir::agent {
namespace {

constexpr const char* kGatewayGroup = "gateway.networking.k8s.io";

// Into another namespace only as a ReferenceGrant there allows, with one exception: to a Service that the route itself
// is attached to. A consumer route sends its clients where they dialled anyway, and GEP-1294 asks for no grant there.
bool may_refer(const Context& context, const Route& route, const BackendRef& ref) {
  if (ref.ns == route.meta->ns) return true;
  const bool own_parent = std::ranges::any_of(route.spec->parents, [&](const ParentRef& parent) {
    return parent.is_service() && parent.key() == ref.key();
  });
  if (own_parent) return true;
  // Grants are ordered by namespace and name.
  for (auto it = context.objects.reference_grants.lower_bound({ref.ns, ""});
       it != context.objects.reference_grants.end() && it->first.ns == ref.ns; ++it) {
    const ReferenceGrant& grant = it->second;
    const bool from = std::ranges::any_of(grant.from, [&](const ReferenceGrant::From& entry) {
      return entry.group == kGatewayGroup && entry.kind == route.kind() && entry.ns == route.meta->ns;
    });
    const bool to = std::ranges::any_of(grant.to, [&](const ReferenceGrant::To& entry) {
      return entry.group == ref.group && entry.kind == ref.kind &&
             (entry.name.empty() || entry.name == ref.name);
    });
    if (from && to) return true;
  }
  return false;
}

// Why the reference does not resolve, after the reason, in parentheses, that the Gateway API's condition ResolvedRefs has
// for it; empty: it does.
std::string complaint(const Context& context, const Route& route, const BackendRef& ref) {
  if (!ref.is_service()) {
    return fmt::format("(InvalidKind) is a {}{}{}; only Services can be meant", ref.kind,
                       ref.group.empty() ? "" : " of ", ref.group);
  }
  if (!may_refer(context, route, ref)) {
    return fmt::format(
        "(RefNotPermitted) no ReferenceGrant in namespace {} lets {}s of namespace {} refer to Service {}",
        ref.ns, route.kind(), route.meta->ns, ref.name);
  }
  const auto service = context.objects.services.find(ref.key());
  if (service == context.objects.services.end()) {
    return fmt::format("(BackendNotFound) there is no Service {} in namespace {}", ref.name, ref.ns);
  }
  if (service->second.external_name) {
    return fmt::format("(BackendNotFound) Service {} is an ExternalName, which has no endpoints", ref.name);
  }
  if (std::ranges::find(service->second.ports, ref.port, &ServicePort::port) == service->second.ports.end()) {
    return fmt::format("(BackendNotFound) Service {} has no TCP port {}", ref.name, ref.port);
  }
  return {};
}

void fill(const HeaderEdit& from, pb::HeaderEdit& to) {
  const auto add = [](const HeaderEdit::Pair& pair, pb::HeaderEdit::Pair& out) {
    out.set_name(pair.name);
    out.set_value(pair.value);
  };
  for (const auto& pair : from.set) add(pair, *to.add_set());
  for (const auto& pair : from.add) add(pair, *to.add_add());
  for (const auto& name : from.remove) to.add_remove(name);
}

void fill(const PathModifier& from, pb::PathModifier& to) {
  if (from.prefix) {
    to.set_prefix(from.value);
  } else {
    to.set_full(from.value);
  }
}

void fill(const RouteRedirect& from, pb::Redirect& to) {
  to.set_scheme(from.scheme);
  to.set_hostname(from.hostname);
  if (from.path) fill(*from.path, *to.mutable_path());
  to.set_port(from.port);
  to.set_status(from.status);
}

void fill(const Cors& from, pb::Cors& to) {
  const auto copy = [](const std::vector<std::string>& values, auto& into) {
    into.Assign(values.begin(), values.end());
  };
  copy(from.allow_origins, *to.mutable_allow_origins());
  copy(from.allow_methods, *to.mutable_allow_methods());
  copy(from.allow_headers, *to.mutable_allow_headers());
  copy(from.expose_headers, *to.mutable_expose_headers());
  to.set_allow_credentials(from.allow_credentials);
  to.set_max_age_seconds(from.max_age_seconds);
}

}  // namespace

std::string resolve_backend(Context& context, const Route& route, const BackendRef& ref,
                            const char* consequence) {
  const std::string why = complaint(context, route, ref);
  if (why.empty()) return ref.key().text();
  context.note(route.object(), fmt::format("{}: not resolved {}; {}", ref.where, why, consequence),
               why.substr(1, why.find(')') - 1));
  return {};
}

void fill_filters(Context& context, const Route& route, const Filters& from, pb::Filters& to) {
  if (from.request_headers) fill(*from.request_headers, *to.mutable_request_headers());
  if (from.response_headers) fill(*from.response_headers, *to.mutable_response_headers());
  if (from.redirect) fill(*from.redirect, *to.mutable_redirect());
  if (from.rewrite) {
    to.mutable_rewrite()->set_hostname(from.rewrite->hostname);
    if (from.rewrite->path) fill(*from.rewrite->path, *to.mutable_rewrite()->mutable_path());
  }
  for (const auto& mirror : from.mirrors) {
    const std::string service = resolve_backend(context, route, mirror.backend, "nothing is mirrored to it");
    // mesh.proto has no word for "of no request".
    if (service.empty() || mirror.numerator == 0) continue;
    pb::Mirror& out = *to.add_mirrors();
    out.set_service(service);
    out.set_port(mirror.backend.port);
    out.set_numerator(mirror.numerator);
    out.set_denominator(mirror.denominator);
  }
  if (from.cors) fill(*from.cors, *to.mutable_cors());
}

}  // namespace weir::agent

// A route's rule: where its requests go and what is done to them. See route.h.
#include <fmt/format.h>

#include "agent/derive/route.h"

namespace weir::agent {
namespace {

// FNV-1a, 64 bits: a name made up for a session must be the same on every node and after every restart, and says
// nothing about the mesh to those who see it.
std::string made_up_session_name(const std::string& rule) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const char c : rule) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3;
  return fmt::format("session-{:016x}", hash);
}

void fill(const SessionPersistence& from, const std::string& rule, pb::SessionPersistence& to) {
  to.set_type(from.header ? pb::SessionPersistence::HEADER : pb::SessionPersistence::COOKIE);
  to.set_name(from.name.empty() ? made_up_session_name(rule) : from.name);
  to.set_absolute_timeout_seconds(from.absolute_timeout_seconds);
  to.set_idle_timeout_seconds(from.idle_timeout_seconds);
  to.set_permanent(from.permanent);
}

void derive_backend(Context& context, const Route& route, const Backend& from, pb::Backend& to) {
  const char* consequence =
      route.grpc ? "its share of calls is answered UNAVAILABLE" : "its share of requests is answered 500";
  to.set_service(resolve_backend(context, route, from.ref, consequence));
  to.set_port(from.ref.port);
  to.set_weight(from.weight);
  fill_filters(context, route, from.filters, *to.mutable_filters());
  if (!to.filters().ByteSizeLong()) to.clear_filters();
  if (from.filters.unsupported.empty()) return;
  context.note(route.object(), fmt::format("{}; {}", from.filters.unsupported, consequence),
               "UnsupportedValue");
  to.clear_service();
}

}  // namespace

pb::RouteRule derive_rule(Context& context, const Route& route, size_t index) {
  const RouteRule& from = route.spec->rules[index];
  pb::RouteRule to;
  to.set_name(
      fmt::format("{}/{}", route.meta->key().text(), from.name.empty() ? std::to_string(index) : from.name));
  to.set_grpc(route.grpc);
  fill_filters(context, route, from.filters, *to.mutable_filters());
  if (!to.filters().ByteSizeLong()) to.clear_filters();
  for (const auto& backend : from.backends) derive_backend(context, route, backend, *to.add_backends());
  if (from.timeouts != Timeouts{}) fill(from.timeouts, *to.mutable_timeouts());
  if (from.retry) fill(*from.retry, *to.mutable_retry());
  if (from.persistence) {
    const std::string made_of = fmt::format("{} {}", route.object(), index);
    fill(*from.persistence, made_of, *to.mutable_persistence());
  }
  const char* answer = route.grpc ? "its calls are answered UNAVAILABLE" : "its requests are answered 500";
  if (!from.filters.unsupported.empty()) {
    // A filter that is not known must not be skipped.
    to.set_invalid(from.filters.unsupported);
    context.note(route.object(), fmt::format("(UnsupportedValue) {}; {}", from.filters.unsupported, answer),
                 "UnsupportedValue");
  } else if (from.backends.empty() && !from.filters.redirect) {
    context.note(route.object(), fmt::format("spec.rules[{}] has no backendRefs; {}", index, answer));
  }
  return to;
}

}  // namespace weir::agent

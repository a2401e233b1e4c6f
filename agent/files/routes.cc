// HTTPRoute, GRPCRoute and ReferenceGrant, read strictly. Routes of Gateways are read too, for they may have a Service
// among their parents. See route_readers.h and readers.h.
#include <algorithm>
#include <set>

#include "agent/files/http_words.h"
#include "agent/files/readers.h"
#include "agent/files/route_readers.h"

namespace weir::agent {
namespace {

constexpr std::string_view kGatewayGroup = "gateway.networking.k8s.io";

ParentRef read_parent(const Field& ref, const RouteHome& home) {
  ref.only({"group", "kind", "namespace", "name", "sectionName", "port"});
  ParentRef parent;
  parent.group = ref["group"].text(kGatewayGroup);
  // The group of a Service is "", but the Gateway API's own pages write core.
  if (parent.group == "core") parent.group.clear();
  parent.kind = ref["kind"].text("Gateway");
  parent.ns = ref["namespace"].present() ? read_name(ref["namespace"], "") : home.ns;
  parent.name = read_name(ref["name"], ".");
  if (!ref["sectionName"].text().empty()) parent.section = read_name(ref["sectionName"], ".");
  if (ref["port"].present()) parent.port = ref["port"].port();
  return parent;
}

// "ParentRefs must be distinct": those of one object use the same optional members, with other values.
void check_distinct(const Field& parents, const std::vector<ParentRef>& read) {
  for (size_t i = 0; i < read.size(); ++i) {
    for (size_t j = 0; j < i; ++j) {
      const ParentRef &a = read[i], &b = read[j];
      if (a.group != b.group || a.kind != b.kind || a.key() != b.key()) continue;
      const std::string which = a.kind + " " + a.key().text();
      if (a.section == b.section && a.port == b.port) parents.refuse("name " + which + " twice");
      if (a.section.empty() != b.section.empty() || (a.port == 0) != (b.port == 0)) {
        parents.refuse("name " + which + " twice, with sectionName or port in one only");
      }
    }
  }
}

std::vector<Backend> read_backends(const Field& refs, const RouteHome& home) {
  std::vector<Backend> out;
  for (const auto& ref : refs.items(16)) {
    ref.only({"group", "kind", "namespace", "name", "port", "weight", "filters"});
    out.push_back({read_backend_ref(ref, home), ref["weight"].number_or(1, 0, 1'000'000),
                   read_filters(ref["filters"], home)});
  }
  return out;
}

// In place of a matched prefix something can only be put where exactly one prefix is matched.
void check_prefix_use(const RouteRule& rule, const Filters& filters, const Field& field) {
  const bool uses = (filters.redirect && filters.redirect->path && filters.redirect->path->prefix) ||
                    (filters.rewrite && filters.rewrite->path && filters.rewrite->path->prefix);
  if (uses && (rule.matches.size() != 1 || rule.matches[0].path.kind != PathMatch::Kind::prefix)) {
    field.refuse("use ReplacePrefixMatch, which needs exactly one match, with a PathPrefix");
  }
}

Retry read_retry(const Field& field) {
  field.only({"codes", "attempts", "backoff"});
  Retry retry;
  for (const auto& code : field["codes"].items()) retry.statuses.push_back(code.number(400, 599));
  retry.attempts = field["attempts"].number_or(0, 1, 100);
  if (field["backoff"].present()) retry.backoff_ms = field["backoff"].duration_ms(0, UINT32_MAX);
  return retry;
}

uint32_t read_seconds(const Field& field) {
  return field.present() ? (field.duration_ms(0, UINT32_MAX - 999) + 999) / 1000 : 0;
}

// The members up to release 1.6, and `cookie` and `header` of the next.
SessionPersistence read_persistence(const Field& field) {
  field.only({"sessionName", "absoluteTimeout", "idleTimeout", "type", "cookieConfig", "cookie", "header"});
  SessionPersistence out;
  out.header = field["type"].word({"Cookie", "Header"}, 0) == 1;
  out.absolute_timeout_seconds = read_seconds(field["absoluteTimeout"]);
  out.idle_timeout_seconds = read_seconds(field["idleTimeout"]);
  const Field cookie = field["cookie"], old_cookie = field["cookieConfig"], header = field["header"];
  for (const auto& one : {cookie, old_cookie}) {
    if (one.present() && out.header) one.refuse("needs type Cookie");
  }
  if (header.present() && !out.header) header.refuse("needs type Header");
  if (cookie.present() && old_cookie.present()) cookie.refuse("and cookieConfig exclude each other");
  old_cookie.only({"lifetimeType"});
  cookie.only({"name", "path", "lifetimeType"});
  header.only({"name"});
  if (cookie["path"].text("/") != "/") cookie["path"].refuse("can only be /");
  const Field& config = cookie.present() ? cookie : old_cookie;
  out.permanent = config["lifetimeType"].word({"Session", "Permanent"}, 0) == 1;
  if (out.permanent && out.absolute_timeout_seconds == 0) {
    field["absoluteTimeout"].refuse("is missing: a Permanent cookie needs one");
  }
  for (const auto& name : {field["sessionName"], cookie["name"], header["name"]}) {
    if (!name.present()) continue;
    if (!out.name.empty()) name.refuse("and sessionName exclude each other");
    out.name = out.header ? read_header_name(name) : read_token(name);
  }
  return out;
}

RouteRule read_rule(const Field& field, const RouteHome& home) {
  RouteRule rule;
  if (home.kind == RouteKind::http) {
    field.only({"name", "matches", "filters", "backendRefs", "timeouts", "retry", "sessionPersistence"});
  } else {
    field.only({"name", "matches", "filters", "backendRefs", "sessionPersistence"});
  }
  if (field["name"].present()) rule.name = read_name(field["name"], ".");
  for (const auto& match : field["matches"].items(64))
    rule.matches.push_back(read_route_match(match, home.kind));
  if (rule.matches.empty()) rule.matches.emplace_back();  // everything
  rule.filters = read_filters(field["filters"], home);
  rule.backends = read_backends(field["backendRefs"], home);
  if (rule.filters.redirect && !rule.backends.empty()) {
    field["backendRefs"].refuse("and the filter RequestRedirect exclude each other");
  }
  check_prefix_use(rule, rule.filters, field["filters"]);
  for (const auto& backend : rule.backends) check_prefix_use(rule, backend.filters, field["backendRefs"]);
  const Field timeouts = field["timeouts"];
  timeouts.only({"request", "backendRequest"});
  rule.timeouts = read_timeouts(timeouts);
  if (field["retry"].present()) rule.retry = read_retry(field["retry"]);
  if (field["sessionPersistence"].present()) rule.persistence = read_persistence(field["sessionPersistence"]);
  return rule;
}

RouteSpec read_spec(const Field& spec, const RouteHome& home) {
  spec.only({"parentRefs", "useDefaultGateways", "hostnames", "rules"});
  RouteSpec out;
  for (const auto& ref : spec["parentRefs"].items(32)) out.parents.push_back(read_parent(ref, home));
  check_distinct(spec["parentRefs"], out.parents);
  spec["useDefaultGateways"].word({"All", "None"}, 0);  // of Gateways alone
  for (const auto& host : spec["hostnames"].items(16)) out.hostnames.push_back(read_wildcard_hostname(host));
  std::set<std::string> names;
  size_t matches = 0;
  for (const auto& field : spec["rules"].items(16)) {
    out.rules.push_back(read_rule(field, home));
    const RouteRule& rule = out.rules.back();
    if (!rule.name.empty() && !names.insert(rule.name).second)
      field["name"].refuse("is there twice: " + rule.name);
    matches += rule.matches.size();
  }
  if (matches > 128) spec["rules"].refuse("have more than 128 matches");
  if (home.kind == RouteKind::http && out.rules.empty()) {
    if (spec["rules"].present()) spec["rules"].refuse("is empty");
    out.rules.emplace_back().matches.emplace_back();  // the CRD's default
  }
  return out;
}

}  // namespace

HttpRoute read_http_route(const Field& document) {
  HttpRoute route{read_meta(document, true), {}};
  route.spec = read_spec(document["spec"], {RouteKind::http, route.meta.ns});
  return route;
}

GrpcRoute read_grpc_route(const Field& document) {
  GrpcRoute route{read_meta(document, true), {}};
  route.spec = read_spec(document["spec"], {RouteKind::grpc, route.meta.ns});
  return route;
}

ReferenceGrant read_reference_grant(const Field& document) {
  ReferenceGrant grant{read_meta(document, true), {}, {}};
  const Field spec = document["spec"];
  spec.only({"from", "to"});
  for (const auto& entry : spec["from"].items(16)) {
    entry.only({"group", "kind", "namespace"});
    if (!entry["group"].present()) entry["group"].refuse("is missing");
    grant.from.push_back(
        {entry["group"].text(), entry["kind"].needed_text(), read_name(entry["namespace"], "")});
  }
  for (const auto& entry : spec["to"].items(16)) {
    entry.only({"group", "kind", "name"});
    if (!entry["group"].present()) entry["group"].refuse("is missing");
    const std::string name = entry["name"].text().empty() ? "" : read_name(entry["name"], ".");
    grant.to.push_back({entry["group"].text(), entry["kind"].needed_text(), name});
  }
  if (grant.from.empty()) spec["from"].refuse("is missing");
  if (grant.to.empty()) spec["to"].refuse("is missing");
  return grant;
}

}  // namespace weir::agent

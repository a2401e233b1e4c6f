// Route tables as the proxy has them: matches in the order of precedence, each with where its requests go. See why.h.
#include <fmt/format.h>

#include <algorithm>

#include "agent/why_parts.h"
#include "nodeproxy/config/mesh.pb.h"

namespace weir::agent {
namespace {

namespace pb = weir::mesh::v1;
using Json = nlohmann::ordered_json;

// Every table of which this is true.
template <typename Holds>
void for_tables(const Resources& resources, Holds holds) {
  for (auto at = resources.lower_bound({pb::ROUTES, ""});
       at != resources.end() && at->first.kind == pb::ROUTES; ++at) {
    pb::Resource resource;
    if (resource.ParseFromString(at->second)) holds(resource.routes());
  }
}

std::string path_text(const pb::RouteMatch& match) {
  switch (match.path_case()) {
    case pb::RouteMatch::kPathExact: return "exactly " + match.path_exact();
    case pb::RouteMatch::kPathRegex: return "regex " + match.path_regex();
    case pb::RouteMatch::kPathPrefix:
      return match.path_prefix() == "/" ? "" : "prefix " + match.path_prefix();
    case pb::RouteMatch::PATH_NOT_SET: break;
  }
  return "";
}

Json values_json(const auto& matches) {
  Json out = Json::array();
  for (const pb::ValueMatch& match : matches) {
    out.push_back(match.has_regex() ? match.name() + "=~" + match.regex()
                                    : match.name() + "=" + match.exact());
  }
  return out;
}

Json filters_json(const pb::Filters& filters) {
  Json out = Json::array();
  if (filters.has_request_headers()) out.push_back("request headers");
  if (filters.has_response_headers()) out.push_back("response headers");
  if (filters.has_redirect()) out.push_back("redirect");
  if (filters.has_rewrite()) out.push_back("rewrite");
  for (const auto& mirror : filters.mirrors()) {
    out.push_back(fmt::format("mirror to {}:{}", mirror.service(), mirror.port()));
  }
  if (filters.has_cors()) out.push_back("CORS");
  return out;
}

void fill_rule(const pb::RouteRule& rule, Json& out) {
  out["rule"] = rule.name();
  out["backends"] = Json::array();
  for (const auto& backend : rule.backends()) {
    out["backends"].push_back({{"service", backend.service()},
                               {"port", backend.port()},
                               {"weight", backend.weight()},
                               {"filters", filters_json(backend.filters())}});
  }
  out["filters"] = filters_json(rule.filters());
  if (rule.timeouts().has_request_ms()) out["request_timeout_ms"] = rule.timeouts().request_ms();
  if (rule.timeouts().has_backend_request_ms()) {
    out["backend_timeout_ms"] = rule.timeouts().backend_request_ms();
  }
  if (rule.has_retry()) out["retry"] = !rule.retry().disabled();
  if (rule.has_persistence()) out["session_persistence"] = true;
  out["invalid"] = rule.invalid();
}

Json table_json(const pb::RouteTable& table) {
  Json out{{"service", table.service()},
           {"consumer_namespace", table.consumer_namespace()},
           {"ports", std::vector<uint32_t>(table.ports().begin(), table.ports().end())},
           {"matches", Json::array()}};
  for (const auto& match : table.matches()) {
    if (match.rule() >= static_cast<uint32_t>(table.rules_size())) continue;
    Json one{{"path", path_text(match)},
             {"method", match.method()},
             {"headers", values_json(match.headers())},
             {"query", values_json(match.query())}};
    fill_rule(table.rules(static_cast<int>(match.rule())), one);
    out["matches"].push_back(std::move(one));
  }
  return out;
}

}  // namespace

Json routes_of_service(const Resources& resources, const std::string& service) {
  Json out = Json::array();
  for_tables(resources, [&](const pb::RouteTable& table) {
    if (table.service() == service) out.push_back(table_json(table));
  });
  return out;
}

Json routes_of_consumer(const Resources& resources, const std::string& ns) {
  Json out = Json::array();
  for_tables(resources, [&](const pb::RouteTable& table) {
    if (table.consumer_namespace() == ns) out.push_back(table_json(table));
  });
  return out;
}

bool has_routes(const Resources& resources, const std::string& service, uint16_t port) {
  bool found = false;
  for_tables(resources, [&](const pb::RouteTable& table) {
    if (table.service() != service) return;
    const auto& ports = table.ports();
    found = found || ports.empty() || std::find(ports.begin(), ports.end(), port) != ports.end();
  });
  return found;
}

void add_route_names(const Json& tables, std::set<std::string>& names) {
  for (const auto& table : tables) {
    for (const auto& match : table["matches"]) {
      const std::string rule = match["rule"];  // "namespace/route/rule"
      names.insert(rule.substr(0, rule.rfind('/')));
    }
  }
}

}  // namespace weir::agent

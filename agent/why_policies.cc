// AuthorizationPolicies as their authors wrote them, in the order in which they decide. See why.h.
#include <algorithm>

#include "agent/why_parts.h"

namespace weir::agent {
namespace {

using Json = nlohmann::ordered_json;

const char* word(Action action) {
  switch (action) {
    case Action::deny: return "Deny";
    case Action::audit: return "Audit";
    case Action::allow: break;
  }
  return "Allow";
}

Json match_json(const Match& match) {
  Json out = Json::object();
  const auto say = [&](const char* name, const auto& values) {
    if (!values.empty()) out[name] = values;
  };
  say("principals", match.principals);
  say("notPrincipals", match.not_principals);
  say("namespaces", match.namespaces);
  say("notNamespaces", match.not_namespaces);
  say("ipBlocks", match.ip_blocks);
  say("notIpBlocks", match.not_ip_blocks);
  say("ports", match.ports);
  say("notPorts", match.not_ports);
  say("hosts", match.hosts);
  say("notHosts", match.not_hosts);
  say("methods", match.methods);
  say("notMethods", match.not_methods);
  say("paths", match.paths);
  say("notPaths", match.not_paths);
  say("grpc", match.grpc);
  say("notGrpc", match.not_grpc);
  for (const auto& header : match.headers) {
    Json condition{{"header", header.name}};
    if (!header.values.empty()) condition["values"] = header.values;
    if (!header.not_values.empty()) condition["notValues"] = header.not_values;
    out["headers"].push_back(std::move(condition));
  }
  return out;
}

Json rule_json(const Rule& rule) {
  Json out{{"name", rule.name}};
  for (const auto& [name, matches] :
       {std::pair("from", &rule.from), {"to", &rule.to}, {"when", &rule.when}}) {
    if (matches->empty()) continue;
    out[name] = Json::array();
    for (const Match& match : *matches) out[name].push_back(match_json(match));
  }
  return out;
}

}  // namespace

Json policies_json(const Explanation& explanation) {
  Json out = Json::array();
  for (const auto& bound : explanation.policies) {
    const AuthorizationPolicy& policy = *bound.policy;
    Json rules = Json::array();
    for (const Rule& rule : policy.rules) rules.push_back(rule_json(rule));
    out.push_back({{"policy", policy.meta.key().text()},
                   {"action", word(policy.action)},
                   {"level", bound.level},
                   {"ports", bound.ports},
                   {"invalid", policy.invalid},
                   {"rules", std::move(rules)}});
  }
  return out;
}

}  // namespace weir::agent

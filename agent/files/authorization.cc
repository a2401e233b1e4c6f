// AuthorizationPolicy, read strictly. Conditions on requests (hosts, methods, paths, headers, claims) are accepted and
// marked l7: until requests are parsed, an Allow with one never matches and a Deny with one denies. See readers.h.
#include <algorithm>
#include <array>
#include <string_view>

#include "agent/files/readers.h"

namespace weir::agent {
namespace {

// Exact, or with one * at the end (api.md: never as a regular expression).
std::vector<std::string> read_patterns(const Field& field) {
  std::vector<std::string> out;
  for (const auto& item : field.items()) {
    out.push_back(item.needed_text());
    const size_t star = out.back().find('*');
    if (star != std::string::npos && star + 1 != out.back().size())
      item.refuse("may have a * only at its end");
  }
  return out;
}

// Namespaces are named in full.
std::vector<std::string> read_names(const Field& field) {
  for (const auto& item : field.items()) {
    if (item.needed_text().find('*') != std::string::npos) item.refuse("must be a whole name, without *");
  }
  return field.texts();
}

std::vector<std::string> read_blocks(const Field& field) {
  std::vector<std::string> out;
  for (const auto& item : field.items()) out.push_back(item.cidr());
  return out;
}

std::vector<uint16_t> read_ports(const Field& field) {
  std::vector<uint16_t> out;
  for (const auto& item : field.items()) out.push_back(item.port());
  return out;
}

// True when one of these is there; each must be a list of words that is not empty.
bool read_l7(const Field& entry, std::initializer_list<const char*> names) {
  bool any = false;
  for (const char* name : names) {
    if (!entry[name].present()) continue;
    if (entry[name].texts().empty()) entry[name].refuse("is empty");
    any = true;
  }
  return any;
}

bool says_nothing(const Match& match) {
  return match.principals.empty() && match.not_principals.empty() && match.namespaces.empty() &&
         match.not_namespaces.empty() && match.ip_blocks.empty() && match.not_ip_blocks.empty() &&
         match.ports.empty() && match.not_ports.empty() && !match.l7;
}

Match read_from(const Field& entry) {
  entry.only({"principals", "notPrincipals", "namespaces", "notNamespaces", "ipBlocks", "notIpBlocks",
              "requestPrincipals", "notRequestPrincipals"});
  Match match;
  match.principals = read_patterns(entry["principals"]);
  match.not_principals = read_patterns(entry["notPrincipals"]);
  match.namespaces = read_names(entry["namespaces"]);
  match.not_namespaces = read_names(entry["notNamespaces"]);
  match.ip_blocks = read_blocks(entry["ipBlocks"]);
  match.not_ip_blocks = read_blocks(entry["notIpBlocks"]);
  match.l7 = read_l7(entry, {"requestPrincipals", "notRequestPrincipals"});
  // An empty entry would match everybody: surely not what was meant.
  if (says_nothing(match)) entry.refuse("says nothing; leave `from` out to mean everybody");
  return match;
}

Match read_to(const Field& entry) {
  entry.only({"ports", "notPorts", "hosts", "notHosts", "methods", "notMethods", "paths", "notPaths",
              "grpcServices", "notGrpcServices", "grpcMethods", "notGrpcMethods"});
  Match match;
  match.ports = read_ports(entry["ports"]);
  match.not_ports = read_ports(entry["notPorts"]);
  match.l7 = read_l7(entry, {"hosts", "notHosts", "methods", "notMethods", "paths", "notPaths",
                             "grpcServices", "notGrpcServices", "grpcMethods", "notGrpcMethods"});
  if (says_nothing(match)) entry.refuse("says nothing; leave `to` out to mean everything");
  return match;
}

Match read_when(const Field& entry) {
  entry.only({"key", "values", "notValues"});
  entry["key"].needed_text();
  if (!read_l7(entry, {"values", "notValues"})) entry.refuse("needs values or notValues");
  Match match;
  match.l7 = true;
  return match;
}

Rule read_rule(const Field& entry, size_t index) {
  entry.only({"name", "from", "to", "when"});
  Rule rule;
  rule.name = entry["name"].text("rule " + std::to_string(index));
  // A list that is there and empty: nobody, or everybody? Not guessed.
  for (const char* list : {"from", "to", "when"}) {
    if (entry[list].present() && entry[list].items().empty()) entry[list].refuse("is empty; leave it out");
  }
  for (const auto& from : entry["from"].items()) rule.from.push_back(read_from(from));
  for (const auto& to : entry["to"].items()) rule.to.push_back(read_to(to));
  for (const auto& when : entry["when"].items()) rule.when.push_back(read_when(when));
  return rule;
}

Action read_action(const Field& spec) {
  static constexpr std::array<Action, 3> kActions{Action::allow, Action::deny, Action::audit};
  return kActions[spec["action"].word({"Allow", "Deny", "Audit"}, 0)];
}

}  // namespace

AuthorizationPolicy read_authorization_policy(const Field& document) {
  AuthorizationPolicy policy;
  policy.meta = read_meta(document, true);
  const Field spec = document["spec"];
  spec.only({"selector", "targetRefs", "action", "rules"});
  policy.attachment = read_attachment(spec);
  policy.action = read_action(spec);
  size_t index = 0;
  for (const auto& rule : spec["rules"].items()) policy.rules.push_back(read_rule(rule, index++));
  return policy;
}

AuthorizationPolicy read_refused_policy(const Field& document, const std::string& why) {
  AuthorizationPolicy policy;
  policy.meta = read_meta(document, true);
  policy.invalid = why;
  try {
    policy.attachment = read_attachment(document["spec"]);
    policy.action = read_action(document["spec"]);
  } catch (const Refused&) {
    policy.attachment = {};
    policy.action = Action::deny;
  }
  return policy;
}

}  // namespace weir::agent

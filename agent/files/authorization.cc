// AuthorizationPolicy, read strictly. A pattern that could never match a request is refused, for in a Deny it would be an
// open door. Conditions that need a verified token (request principals, claims) make the policy invalid: accepted, but
// its Allow matches nothing and its Deny everything. See readers.h.
#include <algorithm>
#include <array>
#include <string_view>

#include "agent/files/http_words.h"
#include "agent/files/readers.h"
#include "nodeproxy/base/ip.h"

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

std::vector<std::string> read_principals(const Field& field) {
  for (const auto& item : field.items()) {
    if (item.needed_text() == "spiffe://") item.refuse("names nobody");
  }
  return read_patterns(field);
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

// `host` without its star: DNS characters, or an IPv6 address in brackets. No port: the request's is not looked at.
bool is_host_pattern(std::string_view host) {
  if (host.starts_with('[') && host.ends_with(']'))
    return Ip::parse(host.substr(1, host.size() - 2)).has_value();
  return std::ranges::all_of(host, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_';
  });
}

// Exact, or with one * at its end, or with "*." at its start; in lower case, without the trailing dot.
std::vector<std::string> read_hosts(const Field& field) {
  std::vector<std::string> out;
  for (const auto& item : field.items()) {
    std::string host = lower_case(item.needed_text());
    if (host.size() > 1 && host.back() == '.' && host != "*.") host.pop_back();
    std::string_view bare = host;
    if (bare.starts_with("*.") && bare.size() > 2) {
      bare.remove_prefix(2);
    } else if (bare.ends_with('*')) {
      bare.remove_suffix(1);
    }
    if (!is_host_pattern(bare)) {
      item.refuse("is no host, without port, and with *. at its start or one * at its end at most: " + host);
    }
    out.push_back(std::move(host));
  }
  return out;
}

std::vector<std::string> read_methods(const Field& field) {
  std::vector<std::string> out = read_patterns(field);
  for (const auto& item : field.items()) {
    const std::string method = item.text();
    if (!is_token(method)) item.refuse("is no method: " + method);
    // Methods are compared with case (RFC 9110 §9.1), and none in use has lower case letters.
    if (std::ranges::any_of(method, [](char c) { return c >= 'a' && c <= 'z'; })) {
      item.refuse("would never match: methods are written in upper case");
    }
  }
  return out;
}

// Paths are compared in their normal form (http.md), and so a pattern has to be in it.
void check_normal_path(const Field& item, std::string path) {
  const bool star = path.ends_with('*');
  if (star) path.pop_back();
  if (path.empty()) return;
  if (path.front() != '/') item.refuse("must start with /, or be *");
  if (const auto why = ambiguity_of(path); !why.empty()) item.refuse(why);
  const auto refuse = [&](std::string_view why) {
    item.refuse("is not how paths are compared: " + std::string(why));
  };
  for (const std::string_view never : {"//", "/./", "/../", "?", "#"}) {
    if (path.find(never) != std::string::npos) refuse("their normal form has no " + std::string(never));
  }
  if (!star && (path.ends_with("/.") || path.ends_with("/.."))) refuse("it ends with a dot segment");
  for (size_t at = path.find('%'); at != std::string::npos; at = path.find('%', at + 1)) {
    const std::string digits = path.substr(at + 1, 2);
    if (digits.size() < 2 || digits.find_first_not_of("0123456789abcdefABCDEF") != std::string::npos) {
      item.refuse("has a % that begins no escape: " + path);
    }
    const char c = static_cast<char>(std::stoi(digits, nullptr, 16));
    if (std::string_view("-._~").find(c) != std::string_view::npos || (c >= '0' && c <= '9') ||
        (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z')) {
      refuse("their normal form does not escape " + std::string(1, c));
    }
  }
  const bool visible = std::ranges::all_of(path, [](char c) { return c > ' ' && c <= '~'; });
  if (!visible) refuse("they are visible ASCII, everything else is escaped");
}

std::vector<std::string> read_paths(const Field& field) {
  std::vector<std::string> out = read_patterns(field);
  for (const auto& item : field.items()) check_normal_path(item, item.text());
  return out;
}

// "package.Service/Method", "package.Service/*" or "*".
std::vector<std::string> read_grpc(const Field& field) {
  std::vector<std::string> out;
  const auto is_name = [](std::string_view text, std::string_view more) {
    return !text.empty() && std::ranges::all_of(text, [&](char c) {
      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
             more.find(c) != std::string_view::npos;
    });
  };
  for (const auto& item : field.items()) {
    out.push_back(item.needed_text());
    if (out.back() == "*") continue;
    const std::string_view call = out.back();
    const size_t slash = call.find('/');
    if (slash == std::string_view::npos || !is_name(call.substr(0, slash), ".") ||
        (call.substr(slash + 1) != "*" && !is_name(call.substr(slash + 1), ""))) {
      item.refuse("must be package.Service/Method, package.Service/* or *: " + out.back());
    }
  }
  return out;
}

// A list that is there and empty, or has nothing behind its colon: nothing, or anything? Not guessed.
void refuse_empty_lists(const Field& entry) {
  for (const auto& [name, member] : entry.entries()) {
    if (name == "header" || name == "claim" || name == "sourceLabel") continue;
    if (member.items().empty()) member.refuse("is empty; leave it out");
  }
}

// What a rule cannot be judged by yet: remembered for the policy as a whole.
struct Reading {
  std::string invalid;
  void lacks(const Field& field, const char* why) {
    if (invalid.empty()) invalid = field.path() + ": " + why;
  }
};
constexpr const char* kNoTokens =
    "comes with RequestAuthentication, which this version of Weir does not have";

Match read_from(const Field& entry, Reading& reading) {
  entry.only({"principals", "notPrincipals", "namespaces", "notNamespaces", "ipBlocks", "notIpBlocks",
              "requestPrincipals", "notRequestPrincipals"});
  // An empty entry would match everybody: surely not what was meant.
  if (entry.entries().empty()) entry.refuse("says nothing; leave `from` out to mean everybody");
  refuse_empty_lists(entry);
  Match match;
  match.principals = read_principals(entry["principals"]);
  match.not_principals = read_principals(entry["notPrincipals"]);
  match.namespaces = read_names(entry["namespaces"]);
  match.not_namespaces = read_names(entry["notNamespaces"]);
  match.ip_blocks = read_blocks(entry["ipBlocks"]);
  match.not_ip_blocks = read_blocks(entry["notIpBlocks"]);
  for (const char* list : {"requestPrincipals", "notRequestPrincipals"}) {
    if (entry[list].present()) reading.lacks(entry[list], kNoTokens);
  }
  return match;
}

Match read_to(const Field& entry) {
  entry.only({"ports", "notPorts", "hosts", "notHosts", "methods", "notMethods", "paths", "notPaths", "grpc",
              "notGrpc"});
  if (entry.entries().empty()) entry.refuse("says nothing; leave `to` out to mean everything");
  refuse_empty_lists(entry);
  Match match;
  match.ports = read_ports(entry["ports"]);
  match.not_ports = read_ports(entry["notPorts"]);
  match.hosts = read_hosts(entry["hosts"]);
  match.not_hosts = read_hosts(entry["notHosts"]);
  match.methods = read_methods(entry["methods"]);
  match.not_methods = read_methods(entry["notMethods"]);
  match.paths = read_paths(entry["paths"]);
  match.not_paths = read_paths(entry["notPaths"]);
  match.grpc = read_grpc(entry["grpc"]);
  match.not_grpc = read_grpc(entry["notGrpc"]);
  return match;
}

// One header field, claim or label with its values.
Match read_when(const Field& entry, Reading& reading) {
  entry.only({"header", "claim", "sourceLabel", "values", "notValues"});
  int subjects = 0;
  for (const char* subject : {"header", "claim", "sourceLabel"}) subjects += entry[subject].present() ? 1 : 0;
  if (subjects != 1) entry.refuse("needs exactly one of header, claim, sourceLabel");
  refuse_empty_lists(entry);
  HeaderCondition condition;
  condition.values = read_patterns(entry["values"]);
  condition.not_values = read_patterns(entry["notValues"]);
  if (condition.values.empty() && condition.not_values.empty()) entry.refuse("needs values or notValues");
  if (entry["claim"].present()) reading.lacks(entry["claim"], kNoTokens);
  if (entry["sourceLabel"].present()) {
    reading.lacks(entry["sourceLabel"], "labels of the client are not judged by this version of Weir");
  }
  Match match;
  if (entry["header"].present()) {
    condition.name = lower_case(read_header_name(entry["header"]));
    match.headers.push_back(std::move(condition));
  }
  return match;
}

Rule read_rule(const Field& entry, size_t index, Reading& reading) {
  entry.only({"name", "from", "to", "when"});
  Rule rule;
  rule.name = entry["name"].text("rule " + std::to_string(index));
  // Likewise: nobody, or everybody?
  for (const auto& [name, member] : entry.entries()) {
    if (name != "name" && member.items().empty()) member.refuse("is empty; leave it out");
  }
  for (const auto& from : entry["from"].items()) rule.from.push_back(read_from(from, reading));
  for (const auto& to : entry["to"].items()) rule.to.push_back(read_to(to));
  for (const auto& when : entry["when"].items()) rule.when.push_back(read_when(when, reading));
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
  Reading reading;
  size_t index = 0;
  for (const auto& rule : spec["rules"].items()) policy.rules.push_back(read_rule(rule, index++, reading));
  policy.invalid = reading.invalid;
  if (!policy.invalid.empty()) policy.rules.clear();
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

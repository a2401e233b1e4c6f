// Policies from the wire. The strictest of the readers: a condition that is not understood must not be ignored, so
// fields this proxy does not know, at any depth, refuse the policy (mesh.proto "Compatibility").
// Hosts, paths and names of fields are brought to the form that requests have when they are judged.
// Thread: config, pure.
#include <algorithm>

#include "nodeproxy/base/http_syntax.h"
#include "nodeproxy/config/spiffe.h"
#include "nodeproxy/config/stage_value.h"

namespace weir::config {
namespace {

using Texts = google::protobuf::RepeatedPtrField<std::string>;

// Patterns are exact or end in one '*': anything else a user may have meant (a regular expression, a '*' in front)
// would silently never match, and a Deny that never matches is an open door.
bool is_pattern(std::string_view text) {
  const size_t star = text.find('*');
  return !text.empty() && (star == std::string_view::npos || star + 1 == text.size());
}

bool refuse(const char* field, const std::string& text, std::string_view why, std::string& wrong) {
  wrong = fmt::format("{}: '{}' {}", field, text, why);
  return false;
}

bool read_patterns(const char* field, const Texts& from, std::vector<std::string>& into, std::string& wrong) {
  for (const std::string& text : from) {
    if (!is_pattern(text))
      return refuse(field, text, "must be a whole name, or a beginning with one * at its end", wrong);
    into.push_back(text);
  }
  return true;
}

bool read_principals(const char* field, const Texts& from, std::vector<std::string>& into,
                     std::string& wrong) {
  const size_t before = into.size();
  if (!read_patterns(field, from, into, wrong)) return false;
  for (size_t i = before; i < into.size(); ++i) {
    into[i] = without_scheme(into[i]);
    if (into[i].empty()) return refuse(field, "spiffe://", "names nobody", wrong);
  }
  return true;
}

// Lower case, without port and trailing dot: a host is compared without them. Empty: no host, and no pattern of one.
std::string host_pattern(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) {
    return static_cast<char>(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
  });
  const size_t name_end = text.starts_with('[') ? text.find(']') : 0;
  if (name_end == std::string::npos) return {};
  if (const size_t colon = text.find(':', name_end); colon != std::string::npos) {
    const std::string port = text.substr(colon + 1);
    if (port.empty() || (port != "*" && port.find_first_not_of("0123456789") != std::string::npos)) return {};
    text.resize(colon);
  }
  const char* allowed = name_end == 0 ? "abcdefghijklmnopqrstuvwxyz0123456789-._*" : "[]0123456789abcdef:.";
  if (text.find_first_not_of(allowed) != std::string::npos) return {};
  if (text == "*.") return {};
  if (text.ends_with('.')) text.pop_back();
  const bool leading = text.starts_with("*.") && text.size() > 2 && text.find('*', 1) == std::string::npos;
  return leading || is_pattern(text) ? text : std::string();
}

bool read_hosts(const char* field, const Texts& from, std::vector<std::string>& into, std::string& wrong) {
  for (const std::string& text : from) {
    std::string host = host_pattern(text);
    if (host.empty())
      return refuse(field, text, "must be a whole host, or have one * at its end or *. in front", wrong);
    into.push_back(std::move(host));
  }
  return true;
}

bool read_methods(const char* field, const Texts& from, std::vector<std::string>& into, std::string& wrong) {
  for (const std::string& text : from) {
    if (!is_pattern(text) || !http_syntax::is_token(text))
      return refuse(field, text, "must be a method, or a beginning with one * at its end", wrong);
    into.push_back(text);
  }
  return true;
}

// In the normal form, as requests are when they are compared.
bool read_paths(const char* field, const Texts& from, std::vector<std::string>& into, std::string& wrong) {
  for (const std::string& text : from) {
    if (!is_pattern(text))
      return refuse(field, text, "must be a whole path, or a beginning with one * at its end", wrong);
    std::string& path = into.emplace_back(text);
    if (text == "*") continue;
    const bool star = text.ends_with('*');
    if (star) path.pop_back();
    std::string instead;
    const auto fault =
        star ? http_syntax::normalise_path_prefix(path, instead) : http_syntax::normalise_path(path, instead);
    if (fault != http_syntax::PathFault::none)
      return refuse(field, text, http_syntax::describe(fault), wrong);
    if (!instead.empty()) path = std::move(instead);
    if (star) path += '*';
  }
  return true;
}

// "*", "package.Service/*" or "package.Service/Method", in characters that a normal path has.
bool is_grpc_pattern(const std::string& text) {
  if (text == "*") return true;
  const size_t slash = text.find('/');
  if (slash == std::string::npos) return false;
  const std::string_view service = std::string_view(text).substr(0, slash);
  const std::string_view method = std::string_view(text).substr(slash + 1);
  if (service.empty() || method.empty() || service.find('*') != std::string_view::npos ||
      method.find('/') != std::string_view::npos ||
      (method != "*" && method.find('*') != std::string_view::npos))
    return false;
  std::string instead;
  return http_syntax::normalise_path('/' + text, instead) == http_syntax::PathFault::none && instead.empty();
}

bool read_grpc(const char* field, const Texts& from, std::vector<std::string>& into, std::string& wrong) {
  for (const std::string& text : from) {
    if (!is_grpc_pattern(text))
      return refuse(field, text, "must be package.Service/Method, package.Service/* or *", wrong);
    into.push_back(text);
  }
  return true;
}

bool read_headers(const google::protobuf::RepeatedPtrField<v1::HeaderCondition>& from,
                  std::vector<HeaderCondition>& into, std::string& wrong) {
  for (const v1::HeaderCondition& condition : from) {
    HeaderCondition& read = into.emplace_back();
    if (!read_field_name("headers", condition.name(), read.name, wrong) ||
        !read_patterns("headers.values", condition.values(), read.values, wrong) ||
        !read_patterns("headers.not_values", condition.not_values(), read.not_values, wrong)) {
      return false;
    }
    if (read.values.empty() && read.not_values.empty())
      return refuse("headers", read.name, "has neither values nor not_values; * is any", wrong);
  }
  return true;
}

bool read_l7(const v1::Match& from, Match& into, std::string& wrong) {
  if (!read_hosts("hosts", from.hosts(), into.hosts, wrong) ||
      !read_hosts("not_hosts", from.not_hosts(), into.not_hosts, wrong) ||
      !read_methods("methods", from.methods(), into.methods, wrong) ||
      !read_methods("not_methods", from.not_methods(), into.not_methods, wrong) ||
      !read_paths("paths", from.paths(), into.paths, wrong) ||
      !read_paths("not_paths", from.not_paths(), into.not_paths, wrong) ||
      !read_grpc("grpc", from.grpc(), into.grpc, wrong) ||
      !read_grpc("not_grpc", from.not_grpc(), into.not_grpc, wrong) ||
      !read_headers(from.headers(), into.headers, wrong)) {
    return false;
  }
  into.l7 = from.l7() || into.has_l7_conditions();
  return true;
}

bool read_match(const v1::Match& from, Match& into, std::string& wrong) {
  return read_principals("principals", from.principals(), into.principals, wrong) &&
         read_principals("not_principals", from.not_principals(), into.not_principals, wrong) &&
         read_patterns("namespaces", from.namespaces(), into.namespaces, wrong) &&
         read_patterns("not_namespaces", from.not_namespaces(), into.not_namespaces, wrong) &&
         read_prefixes("ip_blocks", from.ip_blocks(), into.ip_blocks, wrong) &&
         read_prefixes("not_ip_blocks", from.not_ip_blocks(), into.not_ip_blocks, wrong) &&
         read_ports("ports", from.ports(), into.ports, wrong) &&
         read_ports("not_ports", from.not_ports(), into.not_ports, wrong) && read_l7(from, into, wrong);
}

bool read_matches(const char* list, const google::protobuf::RepeatedPtrField<v1::Match>& from,
                  std::vector<Match>& into, std::string& wrong) {
  for (int i = 0; i < from.size(); ++i) {
    if (read_match(from[i], into.emplace_back(), wrong)) continue;
    wrong = fmt::format("{}[{}].{}", list, i, wrong);
    return false;
  }
  return true;
}

}  // namespace

bool read_policy(const v1::Policy& from, Policy& into, std::string& wrong) {
  if (const std::string type = type_with_unknown_fields(from); !type.empty()) {
    wrong = fmt::format("{} has fields that this proxy does not know; a condition must not be ignored", type);
    return false;
  }
  into.name = from.name();
  into.invalid = from.invalid();
  switch (from.action()) {
    case v1::Policy::ALLOW: into.action = Action::allow; break;
    case v1::Policy::DENY: into.action = Action::deny; break;
    case v1::Policy::AUDIT: into.action = Action::audit; break;
    default: wrong = fmt::format("action: {} is none this proxy knows", int{from.action()}); return false;
  }
  for (int i = 0; i < from.rules_size(); ++i) {
    const v1::Rule& rule = from.rules(i);
    Rule& read = into.rules.emplace_back();
    read.name = rule.name();
    if (read_matches("from", rule.from(), read.from, wrong) &&
        read_matches("to", rule.to(), read.to, wrong) &&
        read_matches("when", rule.when(), read.when, wrong)) {
      continue;
    }
    wrong = fmt::format("rules[{}].{}", i, wrong);
    return false;
  }
  return true;
}

}  // namespace weir::config

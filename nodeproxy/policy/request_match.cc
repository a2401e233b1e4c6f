// Hosts, methods, paths, gRPC and fields. See request_match.h.
#include "nodeproxy/policy/request_match.h"

#include <algorithm>
#include <string>
#include <vector>

namespace weir::policy {
namespace {

using config::Action;
using Patterns = std::vector<std::string>;

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; }

// Exact, or a beginning; "*" is every value, also an empty one.
bool value_matches(std::string_view pattern, std::string_view value) {
  return pattern == "*" || pattern == value || matches_pattern(pattern, value);
}

bool any_value(const Patterns& patterns, std::string_view value) {
  return std::any_of(patterns.begin(), patterns.end(),
                     [&](const std::string& pattern) { return value_matches(pattern, value); });
}

// A host without user, port and trailing dot.
std::string_view host_of(std::string_view authority) {
  if (const size_t at = authority.rfind('@'); at != std::string_view::npos) authority.remove_prefix(at + 1);
  const size_t bracket = authority.rfind(']');
  const size_t colon = authority.rfind(':');
  if (colon != std::string_view::npos && (bracket == std::string_view::npos || colon > bracket))
    authority = authority.substr(0, colon);
  if (authority.ends_with('.')) authority.remove_suffix(1);
  return authority;
}

// The pattern is lower case already.
bool same_host(std::string_view pattern, std::string_view host) {
  return std::equal(pattern.begin(), pattern.end(), host.begin(), host.end(),
                    [](char a, char b) { return a == lower(b); });
}

bool host_matches(std::string_view pattern, std::string_view host) {
  if (pattern == "*") return true;
  if (pattern.ends_with('*')) {
    pattern.remove_suffix(1);
    return host.size() >= pattern.size() && same_host(pattern, host.substr(0, pattern.size()));
  }
  if (pattern.starts_with("*.")) {
    pattern.remove_prefix(1);  // ".example.com": at least one label before it
    return host.size() > pattern.size() && same_host(pattern, host.substr(host.size() - pattern.size()));
  }
  return same_host(pattern, host);
}

bool any_host(const Patterns& patterns, std::string_view host) {
  return std::any_of(patterns.begin(), patterns.end(),
                     [&](const std::string& pattern) { return host_matches(pattern, host); });
}

// Calls visit(value) for each line of a field. A head keeps Host as its authority.
template <typename Visit>
void each_line(const http::Head& head, std::string_view name, Visit visit) {
  if (http::same_field(name, "host")) {
    if (!head.authority.empty()) visit(std::string_view(head.authority));
    return;
  }
  for (const http::Field field : head.headers)
    if (http::same_field(field.name, name)) visit(field.value);
}

// Whether any line, or all lines, say a gRPC content type; no line: no.
bool is_grpc(const Request& request, bool any) {
  if (request.head.method != "POST") return false;
  constexpr std::string_view kType = "application/grpc";
  size_t lines = 0, grpc = 0;
  each_line(request.head, "content-type", [&](std::string_view value) {
    ++lines;
    grpc += value.size() >= kType.size() && http::same_field(value.substr(0, kType.size()), kType);
  });
  return any ? grpc > 0 : grpc == lines && lines > 0;
}

// "/package.Service/Method": the last slash parts them, as gRPC libraries do.
bool grpc_matches(std::string_view pattern, std::string_view path) {
  const size_t slash = path.rfind('/');
  if (!path.starts_with('/') || slash < 2 || slash + 1 == path.size()) return false;
  if (pattern == "*") return true;
  path.remove_prefix(1);
  if (pattern.ends_with("/*")) return path.substr(0, slash - 1) == pattern.substr(0, pattern.size() - 2);
  return path == pattern;
}

bool any_grpc(const Patterns& patterns, const Request& request, bool any_line) {
  return !patterns.empty() && is_grpc(request, any_line) &&
         std::any_of(patterns.begin(), patterns.end(),
                     [&](const std::string& pattern) { return grpc_matches(pattern, request.normal_path); });
}

// A field that is not there meets a condition that names no values (so: only what it must not be).
bool header_met(const config::HeaderCondition& condition, const http::Head& head, Action action) {
  size_t lines = 0, met = 0;
  each_line(head, condition.name, [&](std::string_view value) {
    ++lines;
    met += (condition.values.empty() || any_value(condition.values, value)) &&
           !any_value(condition.not_values, value);
  });
  if (lines == 0) return condition.values.empty();
  return action == Action::deny ? met > 0 : met == lines;
}

}  // namespace

bool matches_pattern(std::string_view pattern, std::string_view value) {
  if (value.empty()) return false;
  if (pattern.ends_with('*')) return value.starts_with(pattern.substr(0, pattern.size() - 1));
  return pattern == value;
}

bool meets_request(const config::Match& match, const Request& request, Action action) {
  const http::Head& head = request.head;
  const std::string_view host = host_of(head.authority);
  // In doubt a Deny takes a request for gRPC and an Allow does not; of what must not be gRPC the other way round.
  const bool deny = action == Action::deny;
  return (match.hosts.empty() || any_host(match.hosts, host)) && !any_host(match.not_hosts, host) &&
         (match.methods.empty() || any_value(match.methods, head.method)) &&
         !any_value(match.not_methods, head.method) &&
         (match.paths.empty() || any_value(match.paths, request.normal_path)) &&
         !any_value(match.not_paths, request.normal_path) &&
         (match.grpc.empty() || any_grpc(match.grpc, request, deny)) &&
         !any_grpc(match.not_grpc, request, !deny) &&
         std::all_of(match.headers.begin(), match.headers.end(),
                     [&](const auto& condition) { return header_met(condition, head, action); });
}

}  // namespace weir::policy

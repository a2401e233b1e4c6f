// The conditions of a route's rule. See route_readers.h.
#include <algorithm>

#include "agent/files/http_words.h"
#include "agent/files/route_readers.h"

namespace weir::agent {
namespace {

constexpr size_t kRegexMaxChars = 1024;
constexpr size_t kHeaderRegexMaxChars = 4096;

bool is_regex(const Field& entry) { return entry["type"].word({"Exact", "RegularExpression"}, 0) == 1; }

// Of entries with the same name only the first counts (HTTPHeaderMatch.name); header names are compared without case.
void add_once(ValueMatch match, std::vector<ValueMatch>& into) {
  const bool there =
      std::ranges::any_of(into, [&](const ValueMatch& other) { return other.name == match.name; });
  if (!there) into.push_back(std::move(match));
}

std::vector<ValueMatch> read_headers(const Field& headers) {
  std::vector<ValueMatch> out;
  for (const auto& entry : headers.items(16)) {
    entry.only({"type", "name", "value"});
    const bool regex = is_regex(entry);
    add_once(
        {lower_case(read_header_name(entry["name"])),
         regex ? read_regex(entry["value"], kHeaderRegexMaxChars) : read_header_value(entry["value"]), regex},
        out);
  }
  return out;
}

std::vector<ValueMatch> read_query(const Field& query) {
  std::vector<ValueMatch> out;
  for (const auto& entry : query.items(16)) {
    entry.only({"type", "name", "value"});
    const bool regex = is_regex(entry);
    std::string value = regex ? read_regex(entry["value"], kRegexMaxChars) : entry["value"].needed_text();
    if (value.size() > 1024) entry["value"].refuse("is longer than 1024 characters");
    add_once({read_token(entry["name"]), std::move(value), regex}, out);
  }
  return out;
}

PathMatch read_path(const Field& path) {
  path.only({"type", "value"});
  PathMatch match;
  switch (path["type"].word({"PathPrefix", "Exact", "RegularExpression"}, 0)) {
    case 0:
      if (!path["value"].present()) break;
      match.value = read_match_path(path["value"]);
      // "A trailing / is ignored."
      if (match.value.size() > 1 && match.value.back() == '/') match.value.pop_back();
      break;
    case 1:
      match.kind = PathMatch::Kind::exact;
      if (path["value"].present()) match.value = read_match_path(path["value"]);
      break;
    default:
      match.kind = PathMatch::Kind::regex;
      if (path["value"].present()) match.value = read_regex(path["value"], kRegexMaxChars);
  }
  return match;
}

bool is_identifier(std::string_view text) {
  const auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; };
  return !text.empty() && letter(text.front()) &&
         std::ranges::all_of(text, [&](char c) { return letter(c) || (c >= '0' && c <= '9'); });
}

// Protobuf's full name of a service: identifiers with dots between; grpcroute_types.go lets it start with a dot.
bool is_service_name(std::string_view text) {
  if (text.starts_with('.')) text.remove_prefix(1);
  while (true) {
    const size_t dot = text.find('.');
    if (!is_identifier(text.substr(0, dot))) return false;
    if (dot == std::string_view::npos) return true;
    text.remove_prefix(dot + 1);
  }
}

MethodMatch read_call(const Field& method) {
  method.only({"type", "service", "method"});
  MethodMatch match;
  match.regex = is_regex(method);
  const auto read = [&](const Field& field, bool (*is_name)(std::string_view)) -> std::string {
    if (field.text().empty()) return {};
    if (match.regex) return read_regex(field, kRegexMaxChars);
    if (field.text().size() > 1024 || !is_name(field.text())) field.refuse("is no name in protobuf's sense");
    return field.text();
  };
  match.service = read(method["service"], is_service_name);
  if (!match.regex && match.service.starts_with('.'))
    match.service.erase(0, 1);  // "from the root", as always
  match.method = read(method["method"], is_identifier);
  if (match.service.empty() && match.method.empty()) method.refuse("needs service or method");
  return match;
}

}  // namespace

RouteMatch read_route_match(const Field& match, RouteKind kind) {
  RouteMatch out;
  if (kind == RouteKind::grpc) {
    match.only({"method", "headers"});
    if (match["method"].present()) out.call = read_call(match["method"]);
  } else {
    match.only({"path", "headers", "queryParams", "method"});
    if (match["path"].present()) out.path = read_path(match["path"]);
    if (match["method"].present()) out.method = read_standard_method(match["method"]);
    out.query = read_query(match["queryParams"]);
  }
  out.headers = read_headers(match["headers"]);
  return out;
}

}  // namespace weir::agent

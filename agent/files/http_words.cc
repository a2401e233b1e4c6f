// Names, values, paths and expressions of HTTP, checked. See http_words.h.
#include "agent/files/http_words.h"

#include <re2/re2.h>

#include <algorithm>
#include <array>

#include "nodeproxy/base/limits.h"

namespace weir::agent {
namespace {

bool is_alnum(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'); }

std::string read_short(const Field& field, size_t max_chars) {
  std::string value = field.needed_text();
  if (value.size() > max_chars) field.refuse("is longer than " + std::to_string(max_chars) + " characters");
  return value;
}

// Labels of letters, digits and inner dashes, dots between.
bool is_dns_name(std::string_view text, bool upper_case) {
  while (true) {
    const size_t dot = text.find('.');
    const std::string_view label = text.substr(0, dot);
    if (label.empty() || label.front() == '-' || label.back() == '-') return false;
    for (const char c : label) {
      if (!(is_alnum(c) || c == '-') || (!upper_case && c >= 'A' && c <= 'Z')) return false;
    }
    if (dot == std::string_view::npos) return true;
    text.remove_prefix(dot + 1);
  }
}

bool is_port(std::string_view text) {
  return !text.empty() && text.size() <= 5 &&
         std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; }) &&
         std::stoul(std::string(text)) >= 1 && std::stoul(std::string(text)) <= 65535;
}

// httproute_types.go: ^(?:[-A-Za-z0-9/._~!$&'()*+,;=:@]|[%][0-9a-fA-F]{2})+$
bool has_path_characters(std::string_view path) {
  const auto is_hex = [](char c) {
    return std::string_view("0123456789abcdefABCDEF").find(c) != std::string_view::npos;
  };
  for (size_t i = 0; i < path.size(); ++i) {
    if (path[i] == '%') {
      if (i + 2 >= path.size() || !is_hex(path[i + 1]) || !is_hex(path[i + 2])) return false;
      i += 2;
    } else if (!is_alnum(path[i]) &&
               std::string_view("-/._~!$&'()*+,;=:@").find(path[i]) == std::string_view::npos) {
      return false;
    }
  }
  return true;
}

}  // namespace

std::string lower_case(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

std::string read_token(const Field& field) {
  std::string value = read_short(field, 256);
  if (!is_token(value)) field.refuse("is no name such as x-version: " + value);
  return value;
}

std::string read_header_name(const Field& field) {
  // They say where a message ends or belong to one connection (RFC 9110 §7.6.1): the proxy takes them out of a head and
  // writes them anew, so that no rule can look at them or change them.
  std::string value = read_token(field);
  if (http_syntax::is_connection_field(value)) {
    field.refuse("is a field of the connection or the framing, which no rule sees: " + value);
  }
  return value;
}

std::string read_header_value(const Field& field) {
  std::string value = read_short(field, 4096);
  const auto blank = [](char c) { return c == ' ' || c == '\t'; };
  const bool printable =
      std::ranges::all_of(value, [&](char c) { return (c > ' ' && c <= '~') || blank(c); });
  if (!printable || blank(value.front()) || blank(value.back())) {
    field.refuse("must be printable ASCII without blanks at its ends");
  }
  return value;
}

std::string read_standard_method(const Field& field) {
  field.needed_text();
  field.word({"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"}, 0);
  return field.text();
}

std::string read_hostname(const Field& field) {
  std::string value = read_short(field, 253);
  if (!is_dns_name(value, false)) field.refuse("is no host name in lower case: " + value);
  return value;
}

std::string read_wildcard_hostname(const Field& field) {
  std::string value = read_short(field, 253);
  const bool wildcard = value.starts_with("*.");
  if (!is_dns_name(std::string_view(value).substr(wildcard ? 2 : 0), false)) {
    field.refuse("is no host name in lower case: " + value);
  }
  return value;
}

std::string read_origin(const Field& field) {
  std::string value = read_short(field, 253);
  if (value == "*") return value;
  std::string_view rest = value;
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (!rest.starts_with(scheme)) continue;
    rest.remove_prefix(scheme.size());
    const size_t colon = rest.find(':');
    const std::string_view host = rest.substr(0, colon);
    const bool port = colon == std::string_view::npos || is_port(rest.substr(colon + 1));
    const bool named = host == "*" || is_dns_name(host.starts_with("*.") ? host.substr(2) : host, true);
    if (port && named) return value;
    break;
  }
  field.refuse("is no origin such as https://example.com or https://*.example.com: " + value);
}

std::string_view ambiguity_of(std::string_view path) {
  const std::string lower = lower_case(path);
  for (const std::string_view hidden : {"%2f", "%5c", "%00", "\\"}) {
    if (lower.find(hidden) != std::string::npos) return "has %2F, %5C, %00 or \\, on which servers disagree";
  }
  // Some servers take these for dot segments; RFC 3986 does not.
  for (const std::string_view dotted : {"/..;", "/.;"}) {
    if (lower.find(dotted) != std::string::npos) return "has a dot segment with a parameter";
  }
  return {};
}

std::string read_match_path(const Field& field) {
  std::string path = read_short(field, 1024);
  if (path.front() != '/') field.refuse("must start with /: " + path);
  if (const auto why = ambiguity_of(path); !why.empty()) field.refuse(std::string(why) + ": " + path);
  for (const std::string_view never : {"//", "/./", "/../", "#"}) {
    if (path.find(never) != std::string::npos)
      field.refuse("must not have " + std::string(never) + ": " + path);
  }
  if (path.ends_with("/.") || path.ends_with("/..")) field.refuse("must not end with a dot segment: " + path);
  if (!has_path_characters(path)) field.refuse("has a character that no path has: " + path);
  return path;
}

std::string read_url_path(const Field& field) {
  std::string path = read_short(field, 1024);
  if (path.front() != '/') field.refuse("must start with /: " + path);
  if (const auto why = ambiguity_of(path); !why.empty()) field.refuse(std::string(why) + ": " + path);
  if (!has_path_characters(path)) field.refuse("has a character that no path has: " + path);
  return path;
}

std::string read_regex(const Field& field, size_t max_chars) {
  std::string value = read_short(field, max_chars);
  // As the proxy compiles it: over bytes, since a client may send any.
  RE2::Options options(RE2::Latin1);
  options.set_log_errors(false);
  options.set_dot_nl(true);
  options.set_never_capture(true);
  options.set_max_mem(limits::route_regex_max_bytes);
  const RE2 compiled(value, options);
  if (!compiled.ok()) field.refuse("is no regular expression (RE2): " + compiled.error());
  return value;
}

}  // namespace weir::agent

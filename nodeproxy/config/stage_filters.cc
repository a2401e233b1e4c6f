// The filters of routes and backends, from the wire. What they write stands in messages that others parse, so names,
// values, hosts and paths are held to HTTP's grammar here, and the path only copies them (http.md, rule zero).
// Thread: config, pure. Source: Gateway API HTTPRouteFilter.
#include <algorithm>
#include <array>
#include <charconv>

#include "nodeproxy/base/http_syntax.h"
#include "nodeproxy/config/stage_value.h"

namespace weir::config {
namespace {

constexpr size_t kValueMaxBytes = 4096;
constexpr size_t kPathMaxBytes = 1024;
constexpr size_t kHostMaxBytes = 253;

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; }

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](char c) { return lower(c); });
  return text;
}

// Host is not in a head's fields (it is the authority), so an edit of it would make a second one.
bool read_edited_name(const std::string& field, const std::string& from, std::string& into,
                      std::string& wrong) {
  if (http_syntax::same_field(from, "host")) {
    wrong = fmt::format("{}: Host is changed by a rewrite of the hostname, not by an edit", field);
    return false;
  }
  return read_field_name(field, from, into, wrong);
}

// Of several entries for a name the first counts, as the Gateway API has it.
bool read_pairs(const std::string& field,
                const google::protobuf::RepeatedPtrField<v1::HeaderEdit::Pair>& from,
                std::vector<std::pair<std::string, std::string>>& into, std::string& wrong) {
  for (const v1::HeaderEdit::Pair& pair : from) {
    std::string name;
    if (!read_edited_name(field, pair.name(), name, wrong)) return false;
    if (!http_syntax::is_field_value(pair.value()) || pair.value().size() > kValueMaxBytes) {
      wrong =
          fmt::format("{}: the value of '{}' has a control character, a space at an edge or above {} bytes",
                      field, name, kValueMaxBytes);
      return false;
    }
    const auto same = [&](const auto& earlier) { return http_syntax::same_field(earlier.first, name); };
    if (std::any_of(into.begin(), into.end(), same)) continue;
    into.emplace_back(std::move(name), pair.value());
  }
  return true;
}

bool read_edit(const char* field, const v1::HeaderEdit& from, HeaderEdit& into, std::string& wrong) {
  for (const std::string& name : from.remove())
    if (!read_edited_name(fmt::format("{}.remove", field), name, into.remove.emplace_back(), wrong))
      return false;
  return read_pairs(fmt::format("{}.set", field), from.set(), into.set, wrong) &&
         read_pairs(fmt::format("{}.add", field), from.add(), into.add, wrong);
}

bool is_host(std::string_view text) {
  return text.size() <= kHostMaxBytes && std::all_of(text.begin(), text.end(), [](char c) {
           const char l = lower(c);
           return (l >= 'a' && l <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_';
         });
}

bool read_host(const char* field, const std::string& from, std::string& into, std::string& wrong) {
  if (!is_host(from)) {
    wrong = fmt::format("{}: '{}' is no host name", field, from);
    return false;
  }
  into = from;
  return true;
}

bool read_path(const char* field, const v1::PathModifier& from, PathModifier& into, std::string& wrong) {
  switch (from.to_case()) {
    case v1::PathModifier::kFull:
      into = {PathModifier::To::full, from.full().empty() ? "/" : from.full()};
      break;
    case v1::PathModifier::kPrefix: into = {PathModifier::To::prefix, from.prefix()}; break;
    case v1::PathModifier::TO_NOT_SET: return true;
  }
  if (into.value.empty()) return true;
  std::string instead;
  const auto fault = http_syntax::normalise_path(into.value, instead);
  if (fault != http_syntax::PathFault::none || into.value.size() > kPathMaxBytes) {
    wrong = fmt::format("{}: '{}' {}", field, into.value,
                        fault == http_syntax::PathFault::none ? "is too long" : http_syntax::describe(fault));
    return false;
  }
  if (!instead.empty()) into.value = std::move(instead);
  return true;
}

bool read_redirect(const v1::Redirect& from, Redirect& into, std::string& wrong) {
  if (!from.scheme().empty() && from.scheme() != "http" && from.scheme() != "https") {
    wrong = fmt::format("redirect.scheme: '{}' is neither http nor https", from.scheme());
    return false;
  }
  into.scheme = from.scheme();
  constexpr std::array kStatuses{301U, 302U, 303U, 307U, 308U};
  if (from.status() != 0) {
    if (std::find(kStatuses.begin(), kStatuses.end(), from.status()) == kStatuses.end()) {
      wrong = fmt::format("redirect.status: {} is no redirect (301, 302, 303, 307, 308)", from.status());
      return false;
    }
    into.status = static_cast<uint16_t>(from.status());
  }
  return (from.port() == 0 || read_port("redirect.port", from.port(), into.port, wrong)) &&
         read_host("redirect.hostname", from.hostname(), into.hostname, wrong) &&
         read_path("redirect.path", from.path(), into.path, wrong);
}

bool read_mirror(const v1::Mirror& from, Mirror& into, std::string& wrong) {
  if (from.service().empty()) {
    wrong = "mirrors: service is empty";
    return false;
  }
  into.service = from.service();
  if (from.denominator() != 0) {
    into.numerator = from.numerator();
    into.denominator = from.denominator();
  }
  if (into.numerator > into.denominator) {
    wrong = fmt::format("mirrors: {} of {} is more than every request", into.numerator, into.denominator);
    return false;
  }
  return read_port("mirrors.port", from.port(), into.port, wrong);
}

// "*", or scheme://host[:port] where the host may be "*" or begin with "*.".
bool is_origin(std::string_view text) {
  if (text == "*") return true;
  if (text.starts_with("http://")) {
    text.remove_prefix(7);
  } else if (text.starts_with("https://")) {
    text.remove_prefix(8);
  } else {
    return false;
  }
  if (const size_t colon = text.rfind(':'); colon != std::string_view::npos) {
    uint16_t port = 0;
    const char* end = text.data() + text.size();
    const auto parsed = std::from_chars(text.data() + colon + 1, end, port);
    if (parsed.ec != std::errc() || parsed.ptr != end || port == 0) return false;
    text = text.substr(0, colon);
  }
  if (text == "*") return true;
  if (text.starts_with("*.")) text.remove_prefix(2);
  return !text.empty() && is_host(text);
}

bool read_tokens(const char* field, const google::protobuf::RepeatedPtrField<std::string>& from,
                 std::vector<std::string>& into, std::string& wrong) {
  for (const std::string& word : from) {
    if (!http_syntax::is_token(word)) {
      wrong = fmt::format("{}: '{}' is no token", field, word);
      return false;
    }
    into.push_back(word);
  }
  // "*" is a token too, and says all there is to say.
  if (std::find(into.begin(), into.end(), "*") != into.end()) into = {"*"};
  return true;
}

bool read_cors(const v1::Cors& from, Cors& into, std::string& wrong) {
  for (const std::string& origin : from.allow_origins()) {
    if (!is_origin(lower(origin))) {
      wrong =
          fmt::format("cors.allow_origins: '{}' is no origin (*, https://host, https://*.host:port)", origin);
      return false;
    }
    into.allow_origins.push_back(lower(origin));
  }
  into.allow_credentials = from.allow_credentials();
  if (from.max_age_seconds() != 0) into.max_age_seconds = from.max_age_seconds();
  return read_tokens("cors.allow_methods", from.allow_methods(), into.allow_methods, wrong) &&
         read_tokens("cors.allow_headers", from.allow_headers(), into.allow_headers, wrong) &&
         read_tokens("cors.expose_headers", from.expose_headers(), into.expose_headers, wrong);
}

}  // namespace

bool read_filters(const v1::Filters& from, Filters& into, std::string& wrong) {
  if (from.has_redirect() && from.has_rewrite()) {
    wrong = "redirect: a rule that redirects has nothing to rewrite";
    return false;
  }
  for (const v1::Mirror& mirror : from.mirrors())
    if (!read_mirror(mirror, into.mirrors.emplace_back(), wrong)) return false;
  if (from.has_redirect() && !read_redirect(from.redirect(), into.redirect.emplace(), wrong)) return false;
  if (from.has_rewrite()) {
    Rewrite& rewrite = into.rewrite.emplace();
    if (!read_host("rewrite.hostname", from.rewrite().hostname(), rewrite.hostname, wrong) ||
        !read_path("rewrite.path", from.rewrite().path(), rewrite.path, wrong)) {
      return false;
    }
  }
  return (!from.has_cors() || read_cors(from.cors(), into.cors.emplace(), wrong)) &&
         read_edit("request_headers", from.request_headers(), into.request_headers, wrong) &&
         read_edit("response_headers", from.response_headers(), into.response_headers, wrong);
}

}  // namespace weir::config

// Origins taken apart, and the fields. See cors.h.
#include "nodeproxy/route/cors.h"

#include <algorithm>
#include <optional>
#include <string_view>
#include <vector>

namespace weir::route {
namespace {

constexpr std::string_view kAllowOrigin = "access-control-allow-origin";
constexpr std::string_view kAllowCredentials = "access-control-allow-credentials";
constexpr std::string_view kAllowMethods = "access-control-allow-methods";
constexpr std::string_view kAllowHeaders = "access-control-allow-headers";
constexpr std::string_view kExposeHeaders = "access-control-expose-headers";
constexpr std::string_view kMaxAge = "access-control-max-age";
constexpr std::string_view kRequestMethod = "access-control-request-method";
constexpr std::string_view kRequestHeaders = "access-control-request-headers";

struct Origin {
  std::string_view scheme, host, port;
};

// Nothing for "null" and what else has no scheme.
std::optional<Origin> parse(std::string_view text) {
  const size_t mark = text.find("://");
  if (mark == std::string_view::npos) return std::nullopt;
  Origin origin{text.substr(0, mark), text.substr(mark + 3), {}};
  const size_t bracket = origin.host.rfind(']');
  const size_t colon = origin.host.rfind(':');
  if (colon != std::string_view::npos && (bracket == std::string_view::npos || colon > bracket)) {
    origin.port = origin.host.substr(colon + 1);
    origin.host = origin.host.substr(0, colon);
  } else if (http::same_field(origin.scheme, "http")) {
    origin.port = "80";
  } else if (http::same_field(origin.scheme, "https")) {
    origin.port = "443";
  }
  return origin;
}

bool is_star(const std::vector<std::string>& list) { return list.size() == 1 && list.front() == "*"; }

std::string join(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) {
    if (!text.empty()) text += ", ";
    text += word;
  }
  return text;
}

void vary(http::Headers& headers, std::string_view on) {
  if (!headers.has_token("vary", on) && !headers.has_token("vary", "*")) headers.add("vary", on);
}

// "*" is echoed as what was asked for: with credentials browsers do not take "*", and without them it does not include
// Authorization.
void allow(std::string_view field, const std::vector<std::string>& list, std::string_view asked_by,
           const http::Headers& request, http::Headers& response) {
  if (list.empty()) return;
  if (!is_star(list)) return response.set(field, join(list));
  std::string asked;
  for (const http::Field one : request) {
    if (!http::same_field(one.name, asked_by)) continue;
    if (!asked.empty()) asked += ", ";
    asked += one.value;
  }
  if (!asked.empty()) response.set(field, asked);
}

void expose(const config::Cors& cors, http::Headers& response) {
  if (cors.expose_headers.empty()) return;
  if (!is_star(cors.expose_headers) || !cors.allow_credentials)
    return response.set(kExposeHeaders, join(cors.expose_headers));
  // "*" is not taken beside credentials, but what it means can be said by name.
  std::string names;
  for (const http::Field field : response) {
    if (field.name.starts_with("access-control-") || http::same_field(field.name, "set-cookie")) continue;
    if (!names.empty()) names += ", ";
    names += field.name;
  }
  if (!names.empty()) response.set(kExposeHeaders, names);
}

// What any response to this origin says.
void admit(const CorsGrant& grant, http::Headers& response) {
  response.set(kAllowOrigin, grant.origin);
  if (grant.cors->allow_credentials) response.set(kAllowCredentials, "true");
  expose(*grant.cors, response);
}

}  // namespace

bool origin_allowed(std::string_view allowed, std::string_view origin) {
  if (allowed == "*") return true;
  const auto pattern = parse(allowed), asked = parse(origin);
  if (!pattern || !asked || asked->host.empty() || !http::same_field(pattern->scheme, asked->scheme) ||
      pattern->port != asked->port)
    return false;
  if (pattern->host == "*") return true;
  if (!pattern->host.starts_with("*.")) return http::same_field(pattern->host, asked->host);
  const std::string_view suffix = pattern->host.substr(1);  // ".example.com"
  return asked->host.size() > suffix.size() &&
         http::same_field(asked->host.substr(asked->host.size() - suffix.size()), suffix);
}

CorsGrant cors_grant(const config::Cors& cors, const http::Head& request) {
  CorsGrant grant{&cors, {}};
  const auto origin = request.headers.get("origin");
  if (!origin || origin->empty() || request.headers.count("origin") != 1) return grant;
  const auto lets_in = [&](const std::string& allowed) { return origin_allowed(allowed, *origin); };
  if (std::any_of(cors.allow_origins.begin(), cors.allow_origins.end(), lets_in)) grant.origin = *origin;
  return grant;
}

bool is_preflight(const http::Head& request) {
  return request.method == "OPTIONS" && request.headers.get("origin") && request.headers.get(kRequestMethod);
}

void answer_preflight(const CorsGrant& grant, const http::Head& request, http::Head& response) {
  response.clear();
  response.version = request.version;
  response.status = 200;
  response.content_length = 0;
  vary(response.headers, "Origin");
  vary(response.headers, kRequestMethod);
  vary(response.headers, kRequestHeaders);
  if (grant.origin.empty()) return;
  admit(grant, response.headers);
  allow(kAllowMethods, grant.cors->allow_methods, kRequestMethod, request.headers, response.headers);
  allow(kAllowHeaders, grant.cors->allow_headers, kRequestHeaders, request.headers, response.headers);
  response.headers.set(kMaxAge, std::to_string(grant.cors->max_age_seconds));
}

void filter_response(const CorsGrant& grant, http::Head& response) {
  if (grant.cors == nullptr) return;
  for (const std::string_view field :
       {kAllowOrigin, kAllowCredentials, kAllowMethods, kAllowHeaders, kExposeHeaders, kMaxAge})
    response.headers.remove(field);
  vary(response.headers, "Origin");
  if (!grant.origin.empty()) admit(grant, response.headers);
}

}  // namespace weir::route

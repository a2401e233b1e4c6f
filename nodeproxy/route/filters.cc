// Edits, replacements of prefixes, Location. See filters.h.
#include "nodeproxy/route/filters.h"

#include <fmt/format.h>

#include "nodeproxy/http/path.h"
#include "nodeproxy/route/match.h"

namespace weir::route {
namespace {

using config::PathModifier;

// In the order of the API's fields. A name has one action only, so the order shows in nothing but a broken configuration.
void edit(const config::HeaderEdit& edit, http::Headers& headers) {
  for (const auto& [name, value] : edit.set) headers.set(name, value);
  for (const auto& [name, value] : edit.add) headers.add(name, value);
  for (const std::string& name : edit.remove) headers.remove(name);
}

// An authority without its port; the brackets of an IPv6 address stay.
std::string_view host_of(std::string_view authority) {
  const size_t bracket = authority.rfind(']');
  const size_t colon = authority.rfind(':');
  if (colon == std::string_view::npos || (bracket != std::string_view::npos && colon < bracket))
    return authority;
  return authority.substr(0, colon);
}

}  // namespace

std::string modified_path(const PathModifier& modifier, const config::RouteMatch& match,
                          std::string_view path) {
  switch (modifier.to) {
    case PathModifier::To::keep: break;
    case PathModifier::To::full: return modifier.value;
    case PathModifier::To::prefix: {
      if (match.path != config::RouteMatch::Path::prefix || !path.starts_with('/') ||
          !has_prefix(path, match.path_value))
        break;
      // Neither the prefix nor what takes its place counts its trailing slash; what follows begins with one.
      const std::string_view rest = match.path_value == "/" ? path : path.substr(match.path_value.size());
      std::string_view front = modifier.value;
      if (front.ends_with('/')) front.remove_suffix(1);
      std::string whole(front);
      whole += rest;
      return whole.empty() ? "/" : whole;
    }
  }
  return std::string(path);
}

void filter_request(const config::Filters& filters, const config::RouteMatch& match, http::Head& request) {
  edit(filters.request_headers, request.headers);
  if (!filters.rewrite) return;
  if (!filters.rewrite->hostname.empty()) request.authority = filters.rewrite->hostname;
  if (filters.rewrite->path.to == PathModifier::To::keep) return;
  const std::string_view path = http::path_of(request.path);
  if (!path.starts_with('/')) return;  // "*", CONNECT: no path to rewrite
  const std::string modified = modified_path(filters.rewrite->path, match, path);
  request.path.replace(0, path.size(), modified);
}

void filter_response(const config::Filters& filters, http::Head& response) {
  edit(filters.response_headers, response.headers);
}

void redirect(const config::Redirect& redirect, const config::RouteMatch& match, const http::Head& request,
              uint16_t port, http::Head& response) {
  const std::string& scheme = redirect.scheme.empty() ? request.scheme : redirect.scheme;
  const uint16_t well_known = scheme == "https" ? 443 : 80;
  // A scheme that the redirect names brings its port; else it is the port that was dialled.
  const uint16_t to_port = redirect.port != 0 ? redirect.port : redirect.scheme.empty() ? port : well_known;
  const std::string_view host =
      redirect.hostname.empty() ? host_of(request.authority) : std::string_view(redirect.hostname);
  std::string location;
  if (!host.empty()) {
    location = fmt::format("{}://{}", scheme.empty() ? "http" : scheme, host);
    if (to_port != well_known) location += fmt::format(":{}", to_port);
  }
  const std::string_view path = http::path_of(request.path);
  if (path.starts_with('/') || redirect.path.to == PathModifier::To::full)
    location += modified_path(redirect.path, match, path);
  location += std::string_view(request.path).substr(path.size());

  response.clear();
  response.version = request.version;
  response.status = redirect.status;
  response.headers.add("location", location);
  response.content_length = 0;
}

bool mirrored(const config::Mirror& mirror, uint64_t random) {
  return random % mirror.denominator < mirror.numerator;
}

}  // namespace weir::route

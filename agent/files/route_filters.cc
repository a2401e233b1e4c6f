// What a route does to the requests and answers of a rule or a backend. See route_readers.h.
#include <algorithm>
#include <array>
#include <set>
#include <string_view>

#include "agent/files/http_words.h"
#include "agent/files/readers.h"
#include "agent/files/route_readers.h"

namespace weir::agent {
namespace {

std::string read_edited_name(const Field& field) {
  std::string name = read_header_name(field);
  if (lower_case(name) == "host") field.refuse("is Host, which is changed by URLRewrite.hostname");
  return name;
}

// Of entries of one list with the same name only the first counts; the same name in two lists is invalid.
HeaderEdit read_header_edit(const Field& field) {
  field.only({"set", "add", "remove"});
  HeaderEdit edit;
  std::set<std::string> of_other_lists, mine;
  const auto take = [&](const Field& name_field, auto&& add) {
    std::string name = read_edited_name(name_field);
    const std::string key = lower_case(name);
    if (of_other_lists.contains(key)) name_field.refuse("is edited in two ways: " + name);
    if (mine.insert(key).second) add(std::move(name));
  };
  for (auto [list, into] : {std::pair{"set", &edit.set}, {"add", &edit.add}}) {
    for (const auto& entry : field[list].items(16)) {
      entry.only({"name", "value"});
      std::string value = read_header_value(entry["value"]);
      take(entry["name"], [&](std::string name) { into->push_back({std::move(name), std::move(value)}); });
    }
    of_other_lists.merge(mine);
    mine.clear();
  }
  for (const auto& entry : field["remove"].items(16)) {
    take(entry, [&](std::string name) { edit.remove.push_back(std::move(name)); });
  }
  return edit;
}

PathModifier read_path_modifier(const Field& path) {
  path.only({"type", "replaceFullPath", "replacePrefixMatch"});
  path["type"].needed_text();
  PathModifier out;
  out.prefix = path["type"].word({"ReplaceFullPath", "ReplacePrefixMatch"}, 0) == 1;
  const Field value = path[out.prefix ? "replacePrefixMatch" : "replaceFullPath"];
  const Field other = path[out.prefix ? "replaceFullPath" : "replacePrefixMatch"];
  if (other.present()) other.refuse("is not what type says");
  if (!value.present()) value.refuse("is missing");
  if (!out.prefix) {
    out.value = read_url_path(value);
    return out;
  }
  // The table at HTTPPathModifier.replacePrefixMatch: "" and "/" do the same, and so do "/xyz" and "/xyz/".
  out.value = value.text().empty() ? "/" : read_url_path(value);
  if (out.value.size() > 1 && out.value.back() == '/') out.value.pop_back();
  return out;
}

RouteRedirect read_redirect(const Field& field) {
  field.only({"scheme", "hostname", "path", "port", "statusCode"});
  RouteRedirect out;
  field["scheme"].word({"http", "https"}, 0);
  out.scheme = field["scheme"].text();
  if (field["hostname"].present()) out.hostname = read_hostname(field["hostname"]);
  if (field["path"].present()) out.path = read_path_modifier(field["path"]);
  if (field["port"].present()) out.port = field["port"].port();
  if (field["statusCode"].present()) {
    field["statusCode"].word({"301", "302", "303", "307", "308"}, 0);
    out.status = static_cast<uint16_t>(field["statusCode"].number(301, 308));
  }
  return out;
}

Rewrite read_rewrite(const Field& field) {
  field.only({"hostname", "path"});
  Rewrite out;
  if (field["hostname"].present()) out.hostname = read_hostname(field["hostname"]);
  if (field["path"].present()) out.path = read_path_modifier(field["path"]);
  return out;
}

Mirror read_mirror(const Field& field, const RouteHome& home) {
  field.only({"backendRef", "percent", "fraction"});
  if (!field["backendRef"].present()) field["backendRef"].refuse("is missing");
  field["backendRef"].only({"group", "kind", "namespace", "name", "port"});
  Mirror mirror{read_backend_ref(field["backendRef"], home), 1, 1};
  const Field fraction = field["fraction"];
  if (fraction.present() && field["percent"].present()) fraction.refuse("and percent exclude each other");
  if (field["percent"].present()) {
    mirror.numerator = field["percent"].number(0, 100);
    mirror.denominator = 100;
  } else if (fraction.present()) {
    fraction.only({"numerator", "denominator"});
    mirror.denominator = fraction["denominator"].number_or(100, 1, INT32_MAX);
    mirror.numerator = fraction["numerator"].number(0, INT32_MAX);
    if (mirror.numerator > mirror.denominator) fraction["numerator"].refuse("is more than the denominator");
  }
  return mirror;
}

// "*" stands for all of them, and so it stands alone.
void check_star(const Field& list, const std::vector<std::string>& values) {
  if (values.size() > 1 && std::ranges::find(values, "*") != values.end()) list.refuse("has * beside others");
}

Cors read_cors(const Field& field) {
  field.only({"allowOrigins", "allowCredentials", "allowMethods", "allowHeaders", "exposeHeaders", "maxAge"});
  Cors cors;
  for (const auto& entry : field["allowOrigins"].items(64)) cors.allow_origins.push_back(read_origin(entry));
  for (const auto& entry : field["allowMethods"].items(9)) {
    cors.allow_methods.push_back(entry.text() == "*" ? "*" : read_standard_method(entry));
  }
  for (const auto& entry : field["allowHeaders"].items(64)) cors.allow_headers.push_back(read_token(entry));
  for (const auto& entry : field["exposeHeaders"].items(64)) cors.expose_headers.push_back(read_token(entry));
  check_star(field["allowOrigins"], cors.allow_origins);
  check_star(field["allowMethods"], cors.allow_methods);
  check_star(field["allowHeaders"], cors.allow_headers);
  cors.allow_credentials = field["allowCredentials"].boolean(false);
  cors.max_age_seconds = field["maxAge"].number_or(0, 1, INT32_MAX);
  return cors;
}

// A filter's type and the member that belongs to it.
struct FilterType {
  std::string_view type;
  const char* member;
  bool grpc = false, repeats = false;
};
constexpr auto kFilterTypes = std::to_array<FilterType>({
    {"RequestHeaderModifier", "requestHeaderModifier", true},
    {"ResponseHeaderModifier", "responseHeaderModifier", true},
    {"RequestMirror", "requestMirror", true, true},
    {"RequestRedirect", "requestRedirect"},
    {"URLRewrite", "urlRewrite"},
    {"CORS", "cors"},
    {"ExternalAuth", "externalAuth"},
    {"ExtensionRef", "extensionRef", true, true},
});

const FilterType& type_of(const Field& filter, RouteKind kind) {
  const std::string type = filter["type"].needed_text();
  std::string known;
  for (const auto& candidate : kFilterTypes) {
    if (kind == RouteKind::grpc && !candidate.grpc) continue;
    if (candidate.type == type) return candidate;
    known += (known.empty() ? "" : ", ") + std::string(candidate.type);
  }
  filter["type"].refuse("is '" + type + "', must be one of: " + known);
}

// Its own member has to be there and no other's may be.
const FilterType& check_filter(const Field& filter, RouteKind kind) {
  filter.only({"type", "requestHeaderModifier", "responseHeaderModifier", "requestMirror", "requestRedirect",
               "urlRewrite", "cors", "externalAuth", "extensionRef"});
  const FilterType& type = type_of(filter, kind);
  for (const auto& other : kFilterTypes) {
    if (other.type != type.type && filter[other.member].present()) {
      filter[other.member].refuse("does not belong to type " + std::string(type.type));
    }
  }
  if (!filter[type.member].present()) filter[type.member].refuse("is missing");
  return type;
}

}  // namespace

BackendRef read_backend_ref(const Field& ref, const RouteHome& home) {
  BackendRef out;
  out.where = ref.path();
  out.group = ref["group"].text();
  if (out.group == "core") out.group.clear();
  out.kind = ref["kind"].text("Service");
  out.ns = ref["namespace"].present() ? read_name(ref["namespace"], "") : home.ns;
  out.name = read_name(ref["name"], ".");
  if (ref["port"].present() || out.is_service()) out.port = ref["port"].port();
  return out;
}

Filters read_filters(const Field& filters, const RouteHome& home) {
  Filters out;
  std::set<std::string_view> seen;
  for (const auto& filter : filters.items(16)) {
    const FilterType& type = check_filter(filter, home.kind);
    if (!seen.insert(type.type).second && !type.repeats) {
      filter.refuse("is a second " + std::string(type.type) + " for the same requests");
    }
    const Field body = filter[type.member];
    if (type.type == "RequestHeaderModifier") out.request_headers = read_header_edit(body);
    if (type.type == "ResponseHeaderModifier") out.response_headers = read_header_edit(body);
    if (type.type == "RequestMirror") out.mirrors.push_back(read_mirror(body, home));
    if (type.type == "RequestRedirect") out.redirect = read_redirect(body);
    if (type.type == "URLRewrite") out.rewrite = read_rewrite(body);
    if (type.type == "CORS") out.cors = read_cors(body);
    if (type.type == "ExternalAuth") out.unsupported = filter.path() + ": there is no ExternalAuth in Weir";
    if (type.type == "ExtensionRef") {
      body.only({"group", "kind", "name"});
      out.unsupported = filter.path() + ": Weir knows no " + body["kind"].needed_text() + " of " +
                        body["group"].text() + " (ExtensionRef " + body["name"].needed_text() + ")";
    }
  }
  if (out.redirect && out.rewrite)
    filters.refuse("have RequestRedirect and URLRewrite, which exclude each other");
  return out;
}

}  // namespace weir::agent

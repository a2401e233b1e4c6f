#pragma once
// One object from YAML, or the words it is refused with. For tests only.
#include <catch2/catch.hpp>
#include <string>

#include "agent/files/parse.h"

namespace weir::agent {

template <typename Kind>
Kind only(const std::string& yaml) {
  const Parsed parsed = parse_yaml("a.yaml", yaml);
  INFO(yaml << (parsed.error ? parsed.error->text() : ""));
  REQUIRE_FALSE(parsed.error);
  REQUIRE(parsed.objects.size() == 1);
  return std::get<Kind>(parsed.objects[0]);
}

inline std::string refusal(const std::string& yaml) {
  const Parsed parsed = parse_yaml("a.yaml", yaml);
  CHECK(parsed.objects.empty() == parsed.error.has_value());
  return parsed.error ? parsed.error->text() : "accepted";
}

// "shop/x" of any kind, with its spec in YAML (block or flow).
inline std::string object(const std::string& group, const std::string& kind, const std::string& spec) {
  return "apiVersion: " + group + "\nkind: " + kind + "\nmetadata: {name: x, namespace: shop}\nspec: " + spec;
}
inline std::string http_route(const std::string& spec) {
  return object("gateway.networking.k8s.io/v1", "HTTPRoute", spec);
}
inline std::string grpc_route(const std::string& spec) {
  return object("gateway.networking.k8s.io/v1", "GRPCRoute", spec);
}
inline std::string traffic_policy(const std::string& spec) {
  return object("weir.dev/v1alpha1", "TrafficPolicy", spec);
}
inline std::string authorization_policy(const std::string& spec) {
  return object("weir.dev/v1alpha1", "AuthorizationPolicy", spec);
}

}  // namespace weir::agent

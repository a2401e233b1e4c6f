#pragma once
// The text of one YAML file → the objects in it, or the one error for which the file is refused whole; and the same of
// one JSON value.
//
// Kinds: Namespace, Node, Pod, Service, EndpointSlice, the ConfigMap weir-system/weir, Weir's own kinds, HTTPRoute,
// GRPCRoute and ReferenceGrant of the Gateway API, and List of these (as `kubectl get -o yaml` prints). Kinds of other
// programs are passed over and counted; an unknown kind of weir.dev refuses the file. Pure: no file system. Thread: any.
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/model/source.h"

namespace weir::agent {

struct Parsed {
  std::vector<Object> objects;       // empty when refused
  std::optional<SourceError> error;  // the first one
  // Of a refused file: its AuthorizationPolicies, as far as they can be known. One that was never accepted still counts.
  std::vector<AuthorizationPolicy> refused_policies;
  size_t passed_over = 0;
};

Parsed parse_yaml(const std::string& file, const std::string& text);
// One object, as the API server sends it: with its apiVersion and kind. `name` stands for the file in errors.
Parsed parse_json(const std::string& name, const nlohmann::json& object);

}  // namespace weir::agent

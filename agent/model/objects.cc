// Naming, storing and selecting objects. See objects.h.
#include "agent/model/objects.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace weir::agent {

std::string describe(const Object& object) {
  // In the order of the variant.
  static constexpr auto kKinds = std::to_array<std::string_view>(
      {"Namespace", "Node", "Pod", "Service", "EndpointSlice", "ConfigMap", "PeerAuthentication",
       "AuthorizationPolicy", "TrafficPolicy", "HTTPRoute", "GRPCRoute", "ReferenceGrant"});
  static_assert(kKinds.size() == std::variant_size_v<Object>);
  return std::string(kKinds[object.index()]) + " " + meta_of(object).key().text();
}

const Meta& meta_of(const Object& object) {
  return std::visit([](const auto& value) -> const Meta& { return value.meta; }, object);
}

void Objects::add(Object object) {
  struct Adder {
    Objects& to;
    void operator()(Namespace& v) { to.namespaces.insert_or_assign(v.meta.name, std::move(v)); }
    void operator()(Node& v) { to.nodes.insert_or_assign(v.meta.name, std::move(v)); }
    void operator()(Pod& v) { to.pods.insert_or_assign(v.meta.key(), std::move(v)); }
    void operator()(Service& v) { to.services.insert_or_assign(v.meta.key(), std::move(v)); }
    void operator()(EndpointSlice& v) { to.slices.insert_or_assign(v.meta.key(), std::move(v)); }
    void operator()(MeshSettings& v) { to.settings = std::move(v); }
    void operator()(PeerAuthentication& v) {
      to.peer_authentications.insert_or_assign(v.meta.key(), std::move(v));
    }
    void operator()(AuthorizationPolicy& v) {
      to.authorization_policies.insert_or_assign(v.meta.key(), std::move(v));
    }
    void operator()(TrafficPolicy& v) { to.traffic_policies.insert_or_assign(v.meta.key(), std::move(v)); }
    void operator()(HttpRoute& v) { to.http_routes.insert_or_assign(v.meta.key(), std::move(v)); }
    void operator()(GrpcRoute& v) { to.grpc_routes.insert_or_assign(v.meta.key(), std::move(v)); }
    void operator()(ReferenceGrant& v) { to.reference_grants.insert_or_assign(v.meta.key(), std::move(v)); }
  };
  std::visit(Adder{*this}, object);
}

bool selects(const Labels& selector, const Labels& labels) {
  return std::ranges::all_of(selector, [&](const auto& wanted) {
    const auto found = labels.find(wanted.first);
    return found != labels.end() && found->second == wanted.second;
  });
}

}  // namespace weir::agent

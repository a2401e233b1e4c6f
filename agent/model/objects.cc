// Naming, storing and selecting objects. See objects.h.
#include "agent/model/objects.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <type_traits>

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

namespace {

// Calls `visit` with the map of that kind (in the order of the variant), and the key it has there.
template <typename All, typename Visit>
void with_kind(All& all, size_t kind, const ObjectName& name, const Visit& visit) {
  switch (kind) {
    case 0: return visit(all.namespaces, name.name);
    case 1: return visit(all.nodes, name.name);
    case 2: return visit(all.pods, name);
    case 3: return visit(all.services, name);
    case 4: return visit(all.slices, name);
    case 6: return visit(all.peer_authentications, name);
    case 7: return visit(all.authorization_policies, name);
    case 8: return visit(all.traffic_policies, name);
    case 9: return visit(all.http_routes, name);
    case 10: return visit(all.grpc_routes, name);
    case 11: return visit(all.reference_grants, name);
    default: return;
  }
}
static_assert(std::is_same_v<std::variant_alternative_t<5, Object>, MeshSettings>);
static_assert(std::is_same_v<std::variant_alternative_t<11, Object>, ReferenceGrant>);

}  // namespace

const Meta* Objects::find(size_t kind, const ObjectName& name) const {
  if (kind == 5) return settings && settings->meta.key() == name ? &settings->meta : nullptr;
  const Meta* out = nullptr;
  with_kind(*this, kind, name, [&](const auto& map, const auto& key) {
    const auto found = map.find(key);
    if (found != map.end()) out = &found->second.meta;
  });
  return out;
}

void Objects::remove(size_t kind, const ObjectName& name) {
  if (kind == 5 && find(kind, name) != nullptr) settings.reset();
  with_kind(*this, kind, name, [](auto& map, const auto& key) { map.erase(key); });
}

bool selects(const Labels& selector, const Labels& labels) {
  return std::ranges::all_of(selector, [&](const auto& wanted) {
    const auto found = labels.find(wanted.first);
    return found != labels.end() && found->second == wanted.second;
  });
}

}  // namespace weir::agent

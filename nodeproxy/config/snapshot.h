#pragma once
// The configuration as the path reads it: immutable, indexed, built and freed on the config thread, read by workers
// through a plain pointer that a message swapped (config/publish.h). Maps are split into shards that successive
// snapshots share, so that one changed endpoint costs a shard, not the world.
// Everything here is valid while the worker holds the snapshot, i.e. until it next takes a message; what a flow needs
// for longer (labels, identities) it copies or keeps by key.
// Thread: built on the config thread; read by any worker; never changed after publication.
#include <algorithm>
#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "nodeproxy/base/ip.h"
#include "nodeproxy/config/routes.h"
#include "nodeproxy/config/traffic.h"

namespace weir::config {

enum class TlsMode : uint8_t { permissive, strict, disabled };
enum class Action : uint8_t { allow, deny, audit };
// `automatic`: peak_ewma for HTTP requests, least_connections for opaque connections.
enum class Balancer : uint8_t {
  automatic,
  least_connections,
  round_robin,
  random,
  peak_ewma,
  least_request,
  ring_hash,
  maglev
};
enum class LocalityPreference : uint8_t { none, same_zone, same_node };
enum class SameNode : uint8_t { direct, encrypted };

struct Locality {
  std::string region, zone;
};

// Judged value by value: a Deny matches when any line of the field does, an Allow only when all do.
struct HeaderCondition {
  std::string name;
  std::vector<std::string> values, not_values;
};

struct Match {
  std::vector<std::string> principals, not_principals;  // "spiffe://" already stripped
  std::vector<std::string> namespaces, not_namespaces;
  std::vector<Prefix> ip_blocks, not_ip_blocks;
  std::vector<uint16_t> ports, not_ports;
  bool l7 = false;                            // has a condition that only a parsed request can meet
  std::vector<std::string> hosts, not_hosts;  // lower case, without port and trailing dot
  std::vector<std::string> methods, not_methods;
  std::vector<std::string> paths, not_paths;  // in the normal form (base/http_syntax.h)
  std::vector<std::string> grpc, not_grpc;    // "package.Service/Method", "package.Service/*", "*"
  std::vector<HeaderCondition> headers;

  bool has_path_conditions() const {
    return !paths.empty() || !not_paths.empty() || !grpc.empty() || !not_grpc.empty();
  }
  bool has_l7_conditions() const {
    return !hosts.empty() || !not_hosts.empty() || !methods.empty() || !not_methods.empty() ||
           !headers.empty() || has_path_conditions();
  }
};

struct Rule {
  std::string name;
  std::vector<Match> from, to, when;
};

struct Policy {
  std::string name;
  Action action = Action::allow;
  std::vector<Rule> rules;
  bool invalid = false;
};

struct PolicyBinding {
  std::shared_ptr<const Policy> policy;
  std::vector<uint16_t> ports;  // empty: every port
};

struct Workload {
  std::string uid, name, ns, service_account;
  std::string identity;  // "spiffe://…" or empty
  std::string owner_kind, owner_name;
  std::vector<Ip> addresses;
  std::string node;
  Locality locality;
  bool mesh_peer = false;
  bool host_network = false;
  bool local = false;  // node == Mesh.node
  TlsMode mode = TlsMode::permissive;
  std::map<uint16_t, TlsMode> port_modes;
  std::vector<PolicyBinding> policies;

  TlsMode mode_of(uint16_t port) const {
    const auto found = port_modes.find(port);
    return found == port_modes.end() ? mode : found->second;
  }
};

struct EndpointPort {
  std::string name;
  uint16_t port = 0;
  std::string app_protocol;
};

struct Endpoint {
  uint64_t id = 0;  // stable for (service, address): balancer state hangs on it across snapshots
  Ip address;
  std::string workload_uid;  // empty: not a workload the mesh knows
  bool ready = false, serving = false, terminating = false;
  uint32_t weight = 100;
  std::string node;
  Locality locality;
  std::vector<std::string> hint_zones;
};

struct EndpointSlice {
  std::string name, service;
  std::vector<EndpointPort> ports;
  std::vector<Endpoint> endpoints;
};

struct ServicePort {
  uint16_t port = 0;
  std::string name, app_protocol;
};

struct Service {
  std::string name;  // "namespace/name"
  std::vector<Ip> addresses;
  std::vector<ServicePort> ports;
  Balancer balancer = Balancer::automatic;
  LocalityPreference locality = LocalityPreference::none;
  bool internal_traffic_local = false;
  uint32_t session_affinity_seconds = 0;
  bool publish_not_ready = false;
  Traffic traffic;
  std::vector<std::shared_ptr<const EndpointSlice>> slices;
  std::vector<std::shared_ptr<const RouteTable>> routes;  // consumers' first, then everybody's; each by name
  // Of this object, which never changes: two of one process never have the same. 0: unknown, as in a test's own. What is
  // worked out from a service and kept longer than a snapshot (balance/eligible.h) goes by this, since a pointer may be
  // used again.
  uint64_t revision = 0;

  // The routes for a client of this namespace that dialled this port: its own namespace's (consumer routes) before
  // everybody's. Null: none, straight to the service.
  const RouteTable* routes_for(uint16_t number, const std::string& client_namespace) const {
    const RouteTable* found = nullptr;
    for (const auto& table : routes) {
      if (!table->ports.empty() &&
          std::find(table->ports.begin(), table->ports.end(), number) == table->ports.end())
        continue;
      if (!table->consumer_namespace.empty() && table->consumer_namespace == client_namespace)
        return table.get();
      if (table->consumer_namespace.empty() && !found) found = table.get();
    }
    return found;
  }

  const ServicePort* port(uint16_t number) const {
    for (const ServicePort& candidate : ports)
      if (candidate.port == number) return &candidate;
    return nullptr;
  }
};

// Most addresses belong to one service; external and load-balancer addresses may be shared by several, on different
// ports. Ordered by name.
using ServicesAtAddress = std::vector<std::shared_ptr<const Service>>;

struct Trust {
  std::string domain;
  uint64_t version = 0;
  std::vector<std::string> roots;  // DER
};

struct MeshSettings {
  std::string trust_domain, cluster, node;
  Locality locality;
  std::vector<Prefix> cluster_ranges;
  bool allow_unknown_destinations = false;
  SameNode same_node = SameNode::direct;
  uint32_t sessions_per_lane = 0;  // 0: limits::sessions_per_lane
};

// A map cut into shards, which hang on branches: copying it copies a pointer per branch, writing copies one branch and
// one shard (config/edit.h), and everything else is shared by all snapshots.
template <typename Key, typename Value>
class ShardedMap {
 public:
  static constexpr size_t kFan = 32;  // branches, and shards of a branch
  using Shard = std::unordered_map<Key, std::shared_ptr<const Value>>;
  using Branch = std::array<std::shared_ptr<const Shard>, kFan>;

  const Value* find(const Key& key) const {
    const std::shared_ptr<const Value>* found = look_up(key);
    return found == nullptr ? nullptr : found->get();
  }
  std::shared_ptr<const Value> find_shared(const Key& key) const {
    const std::shared_ptr<const Value>* found = look_up(key);
    return found == nullptr ? nullptr : *found;
  }
  template <typename Visit>
  void for_each(Visit&& visit) const {
    for (const auto& branch : branches_) {
      if (!branch) continue;
      for (const auto& shard : *branch)
        if (shard)
          for (const auto& [key, value] : *shard) visit(key, *value);
    }
  }

  // Builder only: where a key is kept.
  static size_t index(const Key& key) {
    // The hash's lowest bits may say little (of an IPv4 address they know only the first byte), so fold all into the
    // highest and take those.
    return (std::hash<Key>()(key) * 0x9E3779B97F4A7C15ULL) >> (64 - kIndexBits);
  }
  std::shared_ptr<const Branch>& branch(size_t index) { return branches_[index / kFan]; }

 private:
  static constexpr int kIndexBits = 10;
  static_assert(size_t{1} << kIndexBits == kFan * kFan);

  const std::shared_ptr<const Value>* look_up(const Key& key) const {
    const size_t at = index(key);
    const auto& branch = branches_[at / kFan];
    if (!branch) return nullptr;
    const auto& shard = (*branch)[at % kFan];
    if (!shard) return nullptr;
    const auto found = shard->find(key);
    return found == shard->end() ? nullptr : &found->second;
  }

  std::array<std::shared_ptr<const Branch>, kFan> branches_;
};

class Snapshot {
 public:
  uint64_t version = 0;
  MeshSettings mesh;
  std::map<std::string, std::shared_ptr<const Trust>> trusts;
  ShardedMap<std::string, Workload> workloads_by_uid;
  ShardedMap<Ip, Workload> workloads_by_address;  // not those of host_network
  ShardedMap<Ip, ServicesAtAddress> services_by_address;
  ShardedMap<std::string, Service> services_by_name;
  ShardedMap<Ip, bool> node_addresses;  // addresses of host_network workloads and nodes

  const Workload* workload(const std::string& uid) const { return workloads_by_uid.find(uid); }
  const Workload* workload_at(const Ip& address) const { return workloads_by_address.find(address); }
  // The service that has this port at this address; else any service of the address (the port is then unknown_port).
  const Service* service_at(const Ip& address, uint16_t port = 0) const {
    const ServicesAtAddress* services = services_by_address.find(address);
    if (services == nullptr) return nullptr;
    for (const auto& service : *services)
      if (service->port(port) != nullptr) return service.get();
    return services->front().get();
  }
  const Trust* trust() const {
    const auto found = trusts.find(mesh.trust_domain);
    return found == trusts.end() ? nullptr : found->second.get();
  }
  bool in_cluster_ranges(const Ip& address) const {
    for (const Prefix& range : mesh.cluster_ranges)
      if (range.contains(address)) return true;
    return false;
  }
};

}  // namespace weir::config

// Meshes, workloads, services, endpoints and trust from the wire, and the walk over an update's resources. See stage.h.
#include "nodeproxy/config/stage.h"

#include <algorithm>
#include <unordered_set>

#include "nodeproxy/config/spiffe.h"
#include "nodeproxy/config/stage_value.h"

namespace weir::config {
namespace {

// Keeps weight × open connections and sums of weights far from any overflow.
constexpr uint32_t kWeightMax = 1'000'000;
constexpr uint32_t kSessionsPerLaneMax = 10'000;

bool read_mesh(const v1::Mesh& from, MeshSettings& into, std::string& wrong) {
  if (!valid_trust_domain(from.trust_domain())) {
    wrong = fmt::format("trust_domain: '{}' is no SPIFFE trust domain", from.trust_domain());
    return false;
  }
  into.trust_domain = from.trust_domain();
  into.cluster = from.cluster();
  into.node = from.node();
  into.locality = read_locality(from.locality());
  if (!read_prefixes("cluster_ranges", from.cluster_ranges(), into.cluster_ranges, wrong)) return false;
  if (!v1::Mesh::UnknownDestinations_IsValid(from.unknown_destinations())) {
    wrong = fmt::format("unknown_destinations: {} is no choice this proxy knows",
                        int{from.unknown_destinations()});
    return false;
  }
  into.allow_unknown_destinations = from.unknown_destinations() == v1::Mesh::ALLOW;
  if (!v1::Mesh::SameNode_IsValid(from.same_node())) {
    wrong = fmt::format("same_node: {} is no choice this proxy knows", int{from.same_node()});
    return false;
  }
  into.same_node = from.same_node() == v1::Mesh::ENCRYPTED ? SameNode::encrypted : SameNode::direct;
  if (from.sessions_per_lane() > kSessionsPerLaneMax) {
    wrong = fmt::format("sessions_per_lane: {} is above {}", from.sessions_per_lane(), kSessionsPerLaneMax);
    return false;
  }
  into.sessions_per_lane = from.sessions_per_lane();
  return true;
}

bool read_bindings(const v1::Workload& from, std::vector<StagedBinding>& into, std::string& wrong) {
  for (const v1::PolicyBinding& binding : from.policies()) {
    StagedBinding& read = into.emplace_back();
    read.policy = binding.policy();
    const std::string field = fmt::format("policies '{}' ports", binding.policy());
    if (!read_ports(field.c_str(), binding.ports(), read.ports, wrong)) return false;
  }
  return true;
}

bool read_workload(const v1::Workload& from, StagedWorkload& into, std::string& wrong) {
  into.uid = from.uid();
  into.workload = std::make_shared<Workload>();
  Workload& workload = *into.workload;
  workload.uid = from.uid();
  workload.name = from.name();
  workload.ns = from.namespace_();
  workload.service_account = from.service_account();
  workload.identity = from.identity();
  workload.owner_kind = from.owner_kind();
  workload.owner_name = from.owner_name();
  workload.node = from.node();
  workload.locality = read_locality(from.locality());
  workload.mesh_peer = from.mesh_peer();
  workload.host_network = from.host_network();
  if (!workload.identity.empty() && !valid_spiffe_id(workload.identity)) {
    wrong = fmt::format("identity: '{}' is no SPIFFE identity", workload.identity);
    return false;
  }
  if (workload.mesh_peer && workload.identity.empty()) {
    wrong = "mesh_peer: a peer without an identity could not be verified";
    return false;
  }
  if (workload.mesh_peer && workload.host_network) {
    wrong = "mesh_peer: a workload on its node's network is never captured";
    return false;
  }
  for (const auto& [number, mode] : from.port_modes()) {
    uint16_t port = 0;
    if (!read_port("port_modes", number, port, wrong)) return false;
    if (!read_mode("port_modes", mode, workload.port_modes[port], wrong)) return false;
  }
  return read_addresses(from.addresses(), workload.addresses, wrong) &&
         read_mode("mode", from.mode(), workload.mode, wrong) && read_bindings(from, into.bindings, wrong);
}

bool read_service(const v1::Service& from, Service& into, std::string& wrong) {
  into.name = from.name();
  into.internal_traffic_local = from.internal_traffic_local();
  into.session_affinity_seconds = from.session_affinity_seconds();
  into.publish_not_ready = from.publish_not_ready();
  switch (from.balancer()) {
    case v1::BALANCER_UNSPECIFIED: into.balancer = Balancer::automatic; break;
    case v1::LEAST_CONNECTIONS: into.balancer = Balancer::least_connections; break;
    case v1::ROUND_ROBIN: into.balancer = Balancer::round_robin; break;
    case v1::RANDOM: into.balancer = Balancer::random; break;
    case v1::PEAK_EWMA: into.balancer = Balancer::peak_ewma; break;
    case v1::LEAST_REQUEST: into.balancer = Balancer::least_request; break;
    case v1::RING_HASH: into.balancer = Balancer::ring_hash; break;
    case v1::MAGLEV: into.balancer = Balancer::maglev; break;
    default: wrong = fmt::format("balancer: {} is none this proxy knows", int{from.balancer()}); return false;
  }
  switch (from.locality()) {
    case v1::LOCALITY_NONE: into.locality = LocalityPreference::none; break;
    case v1::PREFER_SAME_ZONE: into.locality = LocalityPreference::same_zone; break;
    case v1::PREFER_SAME_NODE: into.locality = LocalityPreference::same_node; break;
    default: wrong = fmt::format("locality: {} is none this proxy knows", int{from.locality()}); return false;
  }
  for (int i = 0; i < from.ports_size(); ++i) {
    ServicePort read{0, from.ports(i).name(), from.ports(i).app_protocol()};
    if (!read_port(fmt::format("ports[{}]", i), from.ports(i).port(), read.port, wrong)) return false;
    if (into.port(read.port) != nullptr) {
      wrong = fmt::format("ports[{}]: {} is there twice", i, read.port);
      return false;
    }
    into.ports.push_back(std::move(read));
  }
  return read_addresses(from.addresses(), into.addresses, wrong) &&
         read_traffic(from.traffic(), into.traffic, wrong);
}

bool read_endpoint(int index, const v1::Endpoint& from, std::unordered_set<uint64_t>& ids,
                   EndpointSlice& slice, std::string& wrong) {
  Endpoint read;
  if (!read_address(fmt::format("endpoints[{}].address", index), from.address(), read.address, wrong))
    return false;
  if (from.weight() > kWeightMax) {
    wrong = fmt::format("endpoints[{}].weight: {} is above {}", index, from.weight(), kWeightMax);
    return false;
  }
  read.id = endpoint_id(slice.service, read.address);
  // A repetition would count double in every balancer; the first says what there is to say.
  if (!ids.insert(read.id).second) return true;
  read.workload_uid = from.workload();
  read.ready = from.ready();
  read.serving = from.serving();
  read.terminating = from.terminating();
  read.weight = from.weight();
  read.node = from.node();
  read.locality = read_locality(from.locality());
  read.hint_zones.assign(from.hint_zones().begin(), from.hint_zones().end());
  slice.endpoints.push_back(std::move(read));
  return true;
}

bool read_slice(const v1::Endpoints& from, EndpointSlice& into, std::string& wrong) {
  into.name = from.name();
  into.service = from.service();
  if (into.service.empty()) {
    wrong = "service: is empty";
    return false;
  }
  for (int i = 0; i < from.ports_size(); ++i) {
    EndpointPort read{from.ports(i).name(), 0, from.ports(i).app_protocol()};
    if (!read_port(fmt::format("ports[{}]", i), from.ports(i).port(), read.port, wrong)) return false;
    into.ports.push_back(std::move(read));
  }
  into.endpoints.reserve(static_cast<size_t>(from.endpoints_size()));
  std::unordered_set<uint64_t> ids;
  for (int i = 0; i < from.endpoints_size(); ++i)
    if (!read_endpoint(i, from.endpoints(i), ids, into, wrong)) return false;
  return true;
}

bool read_trust(const v1::Trust& from, Trust& into, std::string& wrong) {
  if (!valid_trust_domain(from.domain())) {
    wrong = fmt::format("domain: '{}' is no SPIFFE trust domain", from.domain());
    return false;
  }
  into.domain = from.domain();
  into.version = from.version();
  into.roots.assign(from.roots().begin(), from.roots().end());
  if (into.roots.empty() ||
      std::any_of(into.roots.begin(), into.roots.end(), [](auto& r) { return r.empty(); })) {
    wrong = "roots: a trust domain needs at least one root, and none may be empty";
    return false;
  }
  return true;
}

// Reads one resource into its map.
template <typename Value, typename Wire, typename Read>
bool put(StagedMap<Value>& map, const std::string& name, const Wire& wire, Read read, std::string& wrong) {
  auto value = std::make_shared<Value>();
  if (!read(wire, *value, wrong)) return false;
  map[name] = std::move(value);
  return true;
}

ResourceKind kind_of(const v1::Resource& resource) {
  switch (resource.resource_case()) {
    case v1::Resource::kMesh: return ResourceKind::mesh;
    case v1::Resource::kWorkload: return ResourceKind::workload;
    case v1::Resource::kService: return ResourceKind::service;
    case v1::Resource::kEndpoints: return ResourceKind::endpoints;
    case v1::Resource::kPolicy: return ResourceKind::policy;
    case v1::Resource::kTrust: return ResourceKind::trust;
    case v1::Resource::kRoutes: return ResourceKind::routes;
    case v1::Resource::RESOURCE_NOT_SET: return ResourceKind::unspecified;
  }
  return ResourceKind::unspecified;
}

std::string name_of(const v1::Resource& resource) {
  switch (kind_of(resource)) {
    case ResourceKind::workload: return resource.workload().uid();
    case ResourceKind::service: return resource.service().name();
    case ResourceKind::endpoints: return resource.endpoints().name();
    case ResourceKind::policy: return resource.policy().name();
    case ResourceKind::trust: return resource.trust().domain();
    case ResourceKind::routes: return resource.routes().name();
    default: return {};
  }
}

bool stage_changed(const v1::Resource& from, const std::string& name, Staged& into, std::string& wrong) {
  switch (kind_of(from)) {
    case ResourceKind::mesh: return read_mesh(from.mesh(), into.mesh.emplace(), wrong);
    case ResourceKind::workload: return read_workload(from.workload(), into.workloads.emplace_back(), wrong);
    case ResourceKind::service: return put(into.services, name, from.service(), read_service, wrong);
    case ResourceKind::endpoints: return put(into.slices, name, from.endpoints(), read_slice, wrong);
    case ResourceKind::policy: return put(into.policies, name, from.policy(), read_policy, wrong);
    case ResourceKind::trust: return put(into.trusts, name, from.trust(), read_trust, wrong);
    case ResourceKind::routes: return put(into.routes, name, from.routes(), read_routes, wrong);
    case ResourceKind::unspecified: break;
  }
  wrong = "a resource of a kind that this proxy does not know";
  return false;
}

bool stage_removed(ResourceKind kind, const std::string& name, Staged& into, std::string& wrong) {
  switch (kind) {
    case ResourceKind::workload: into.workloads.push_back({name, nullptr, {}}); return true;
    case ResourceKind::service: into.services[name] = nullptr; return true;
    case ResourceKind::endpoints: into.slices[name] = nullptr; return true;
    case ResourceKind::policy: into.policies[name] = nullptr; return true;
    case ResourceKind::trust: into.trusts[name] = nullptr; return true;
    case ResourceKind::mesh: wrong = "the mesh's settings can be changed, not removed"; return false;
    case ResourceKind::routes: into.routes[name] = nullptr; return true;
    case ResourceKind::unspecified: break;
  }
  wrong = "removed: a kind that this proxy does not know";
  return false;
}

}  // namespace

uint64_t endpoint_id(const std::string& service, const Ip& address) {
  // FNV-1a over both, then mixed: rendezvous hashing (balance/pick) wants every bit to count.
  uint64_t hash = 0xcbf29ce484222325ULL;
  const auto add = [&hash](uint8_t byte) { hash = (hash ^ byte) * 0x100000001b3ULL; };
  for (const char c : service) add(static_cast<uint8_t>(c));
  add(0);
  for (const uint8_t byte : address.bytes()) add(byte);
  hash = (hash ^ (hash >> 32)) * 0xd6e8feb86659fd93ULL;
  return hash ^ (hash >> 32);
}

std::expected<Staged, Refusal> stage(const mesh::v1::Update& update) {
  Staged staged;
  staged.version = update.version();
  staged.full_state = update.full_state();
  std::unordered_set<std::string> seen;
  std::string wrong;
  const auto fresh = [&](ResourceKind kind, const std::string& name) {
    if (name.empty() && kind != ResourceKind::mesh && kind != ResourceKind::unspecified) {
      wrong = "its name is empty";
      return false;
    }
    if (seen.insert(static_cast<char>('0' + static_cast<int>(kind)) + name).second) return true;
    wrong = "is named twice in one update";
    return false;
  };
  for (const v1::Resource& resource : update.changed()) {
    const ResourceKind kind = kind_of(resource);
    const std::string name = name_of(resource);
    if (!fresh(kind, name) || !stage_changed(resource, name, staged, wrong)) {
      return std::unexpected(Refusal{kind, name, wrong});
    }
  }
  for (const v1::ResourceKey& key : update.removed()) {
    // The numbers of mesh.proto's ResourceKind and ours are the same; agent_link relies on it too.
    const bool known = v1::ResourceKind_IsValid(key.kind());
    const auto kind = known ? static_cast<ResourceKind>(key.kind()) : ResourceKind::unspecified;
    if (!fresh(kind, key.name()) || !stage_removed(kind, key.name(), staged, wrong)) {
      return std::unexpected(Refusal{kind, key.name(), wrong});
    }
  }
  return staged;
}

}  // namespace weir::config

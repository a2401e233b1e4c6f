#pragma once
// The first half of applying an update: its messages as the snapshot's values, each checked by itself. Nothing here
// knows the state the update will meet; references are build.cc's.
// Thread: config, pure. Lifetime: a Staged lives for one Builder::apply.
#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "nodeproxy/config/build.h"
#include "nodeproxy/config/snapshot.h"

namespace weir::config {

// A binding whose policy is still a name.
struct StagedBinding {
  std::string policy;
  std::vector<uint16_t> ports;
};

struct StagedWorkload {
  std::string uid;
  std::shared_ptr<Workload> workload;  // null: removed; `policies` and `local` are filled in by the builder
  std::vector<StagedBinding> bindings;
};

template <typename Value>
using StagedMap = std::unordered_map<std::string, std::shared_ptr<const Value>>;  // null: removed

struct Staged {
  uint64_t version = 0;
  bool full_state = false;
  std::optional<MeshSettings> mesh;
  std::vector<StagedWorkload> workloads;  // in the update's order
  StagedMap<Service> services;            // without their slices and routes
  StagedMap<EndpointSlice> slices;
  StagedMap<RouteTable> routes;
  StagedMap<Policy> policies;
  StagedMap<Trust> trusts;
};

std::expected<Staged, Refusal> stage(const mesh::v1::Update& update);

// Endpoint::id: the same in every process and snapshot for a service's name and an address.
uint64_t endpoint_id(const std::string& service, const Ip& address);

}  // namespace weir::config

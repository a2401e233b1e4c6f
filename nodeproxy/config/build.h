#pragma once
// From updates (mesh.proto) to snapshots: all validation of what the proxy is told, and the keyed state that deltas
// apply to. An update is applied whole or refused whole, naming the object at fault; a refused one leaves no trace.
//
// Two steps: stage (config/stage.h) turns the messages into values and finds what is wrong with each by itself; then
// references are checked against the state as it would be; only then is anything written, and that cannot fail.
// What a change costs follows what it touches: maps are copied shard by shard, and an endpoint slice is shared between
// snapshots, so one changed endpoint among 100,000 costs well under a millisecond.
//
// Owner: the config thread's source (agent_link or a file). Thread: config. Lifetime: the process; the snapshots it
// hands out outlive it.
#include <cstdint>
#include <expected>
#include <memory>
#include <string>

#include "nodeproxy/config/snapshot.h"

namespace weir::mesh::v1 {
class Update;
}

namespace weir::config {

enum class ResourceKind : uint8_t { unspecified, mesh, workload, service, endpoints, policy, trust, routes };

struct Refusal {
  ResourceKind kind = ResourceKind::unspecified;
  std::string name;  // the object at fault, as in mesh.proto ResourceKey
  std::string text;  // what is wrong with it, for people
};

// "workload 'shop/web-1': identity: … is no SPIFFE identity"
std::string describe(const Refusal& refusal);

class Builder {
 public:
  Builder();
  ~Builder();
  Builder(const Builder&) = delete;
  Builder& operator=(const Builder&) = delete;

  // The snapshot after `update`. Refused: malformed objects, unknown fields in a policy, a binding to a policy that is
  // not there, a version that does not rise (deltas only), a first update without Mesh.
  std::expected<std::shared_ptr<const Snapshot>, Refusal> apply(const mesh::v1::Update& update);

  // The last snapshot handed out; nothing before the first.
  std::shared_ptr<const Snapshot> current() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace weir::config

#pragma once
// The proxy's configuration as keyed, serialized resources of mesh.proto, and the difference between two of them: only
// what changed travels. Serialization is deterministic, so equal bytes mean equal resources.
// Owner: derive() makes them, serve/ compares them with what the proxy has. Thread: values.
#include <compare>
#include <map>
#include <string>
#include <vector>

namespace google::protobuf {
class MessageLite;
}

namespace weir::agent {

struct ResourceId {
  int kind = 0;  // mesh.v1.ResourceKind
  std::string name;

  std::string text() const;  // "WORKLOAD shop/web-0"
  auto operator<=>(const ResourceId&) const = default;
};

using Resources = std::map<ResourceId, std::string>;  // → bytes of mesh.v1.Resource

struct Delta {
  std::vector<ResourceId> changed;  // new ones too
  std::vector<ResourceId> removed;
  bool empty() const { return changed.empty() && removed.empty(); }
};

Delta difference(const Resources& from, const Resources& to);

std::string serialize(const google::protobuf::MessageLite& message);

}  // namespace weir::agent

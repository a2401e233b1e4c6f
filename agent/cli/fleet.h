#pragma once
// The nodes of the cluster and how to ask the agent of each: the pods of DaemonSet weir-node, through `kubectl exec`.
// Thread: one; blocking, but for fleet_of(), which is pure.
#include <string>
#include <vector>

#include "agent/cli/kubectl.h"

namespace weir::agent {

struct FleetNode {
  std::string node;
  std::string pod;      // of weir-node that can be asked; empty: none
  std::string missing;  // why there is none
};

struct Fleet {
  std::vector<FleetNode> nodes;  // by name
  std::string error;             // nothing is known: why
  std::string remark;            // less is known than could be: why
};

// `nodes`: `kubectl get nodes -o json`, or null; `pods`: those of weir-node.
Fleet fleet_of(const nlohmann::json& nodes, const nlohmann::json& pods);
Fleet find_fleet(const Kubectl& kubectl);

struct NodeAnswer {
  std::string node;
  nlohmann::json answer;  // null when there is none
  std::string error;      // why there is none
};
// The JSON that `weirctl --local ARGUMENTS` prints on each node, all nodes at a time. A node without a pod is among the
// answers.
std::vector<NodeAnswer> ask_fleet(const Kubectl& kubectl, const Fleet& fleet,
                                  const std::vector<std::string>& arguments,
                                  std::chrono::milliseconds time_max = kExecTimeMax);

}  // namespace weir::agent

#pragma once
// `weirctl install-check`: what Weir needs of a node and of a cluster, judged. Each finding says what was seen and, unless
// all is well, what to do. Pure: facts in, findings out. Thread: any.
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "agent/cli/node_facts.h"

namespace weir::agent {

enum class Level { ok, warn, fail };

struct Finding {
  Level level = Level::ok;
  std::string about;  // "kernel", "API server"
  std::string said;   // what was found
  std::string todo;   // what to do; empty: nothing
  std::string node;   // empty: of the whole cluster
};

bool any_failed(const std::vector<Finding>& findings);
std::string findings_text(const std::vector<Finding>& findings);
nlohmann::json findings_json(const std::vector<Finding>& findings);
// What findings_json() made on a node, as that node's.
std::vector<Finding> findings_of(const nlohmann::json& answer, const std::string& node);

// "6.1.0-18-amd64" against what the BPF programs and the proxy need.
Finding judge_kernel(const std::string& release);
std::vector<Finding> judge_node(const NodeFacts& facts);

// install_cluster.cc. Each takes what kubectl printed, or null.
// `kubectl get nodes -o json`: kernel, architecture and container runtime of each.
std::vector<Finding> judge_nodes(const nlohmann::json& nodes);
Finding judge_api_server(const nlohmann::json& version);  // `kubectl version -o json`
std::vector<Finding> judge_crds(const nlohmann::json& crds, bool installed);
std::vector<Finding> judge_cni(const nlohmann::json& daemon_sets, const nlohmann::json& cilium_config,
                               const nlohmann::json& felix_config);
std::vector<Finding> judge_runtime_classes(const nlohmann::json& classes);

inline constexpr const char* kGatewayCrds[] = {"httproutes.gateway.networking.k8s.io",
                                               "grpcroutes.gateway.networking.k8s.io",
                                               "referencegrants.gateway.networking.k8s.io"};
inline constexpr const char* kWeirCrds[] = {"authorizationpolicies.weir.dev", "peerauthentications.weir.dev",
                                            "trafficpolicies.weir.dev"};

// A dotted number at the beginning of a version ("v1.34.2+k3s1", "6.1.0-18-amd64"): its first two parts.
struct VersionNumber {
  int major = -1, minor = -1;
  auto operator<=>(const VersionNumber&) const = default;
};
VersionNumber version_number(const std::string& text);

}  // namespace weir::agent

// Nodes and pods, matched. See fleet.h.
#include "agent/cli/fleet.h"

#include <fmt/format.h>

#include <map>

#include "agent/cli/members.h"

namespace weir::agent {
namespace {

using Json = nlohmann::json;

constexpr const char* kNodePods = "app.kubernetes.io/name=weir-node";

struct Candidate {
  std::string pod, missing, created;
  int rank = 0;  // 2: its agent is ready, 1: it runs, 0: it cannot be asked
};

Candidate candidate_of(const Json& pod) {
  const Json &meta = member_of(pod, "metadata"), &status = member_of(pod, "status");
  Candidate out{text_of(meta, "name"), {}, text_of(meta, "creationTimestamp", ""), 0};
  std::string why = "its pod " + out.pod + " is " + text_of(status, "phase", "in no state");
  for (const Json& container : list_of(status, "containerStatuses")) {
    if (text_of(container, "name") != "agent") continue;
    const Json& state = member_of(container, "state");
    if (state.is_object() && state.contains("running")) {
      out.rank = flag_of(container, "ready") ? 2 : 1;
    } else {
      const std::string reason = text_of(member_of(state, "waiting"), "reason", "");
      why = fmt::format("the agent of pod {} does not run{}", out.pod, reason.empty() ? "" : ": " + reason);
    }
  }
  if (out.rank == 0) out.missing = why;
  return out;
}

bool better(const Candidate& a, const Candidate& b) {
  return a.rank != b.rank ? a.rank > b.rank : a.created > b.created;
}

}  // namespace

Fleet fleet_of(const Json& nodes, const Json& pods) {
  std::map<std::string, Candidate> best;
  for (const Json& pod : list_of(pods, "items")) {
    const std::string node = text_of(member_of(pod, "spec"), "nodeName", "");
    if (node.empty()) continue;
    const Candidate candidate = candidate_of(pod);
    const auto [at, fresh] = best.try_emplace(node, candidate);
    if (!fresh && better(candidate, at->second)) at->second = candidate;
  }
  for (const Json& node : list_of(nodes, "items")) {
    best.try_emplace(text_of(member_of(node, "metadata"), "name"),
                     Candidate{{}, "no pod of DaemonSet weir-node is on it", {}, 0});
  }
  Fleet fleet;
  for (const auto& [node, candidate] : best) {
    fleet.nodes.push_back({node, candidate.rank > 0 ? candidate.pod : "", candidate.missing});
  }
  return fleet;
}

Fleet find_fleet(const Kubectl& kubectl) {
  const auto ran =
      run_all({kubectl.command({"get", "nodes", "-o", "json"}),
               kubectl.command({"get", "pods", "-n", kWeirNamespaceName, "-l", kNodePods, "-o", "json"})},
              kGetTimeMax);
  const Got nodes = json_of(ran[0], "list nodes");
  const Got pods = json_of(ran[1], fmt::format("list the pods of weir-node in {}", kWeirNamespaceName));
  if (!pods.error.empty()) return {{}, pods.error, {}};
  Fleet fleet = fleet_of(nodes.answer, pods.answer);
  if (!nodes.error.empty()) fleet.remark = nodes.error + "\n  nodes without a pod of weir-node are not shown";
  if (list_of(pods.answer, "items").empty()) {
    fleet.error = fmt::format(
        "no pod of DaemonSet weir-node is in namespace {}\n"
        "  is Weir installed? `weirctl install-check` says whether it can be",
        kWeirNamespaceName);
  }
  return fleet;
}

std::vector<NodeAnswer> ask_fleet(const Kubectl& kubectl, const Fleet& fleet,
                                  const std::vector<std::string>& arguments,
                                  std::chrono::milliseconds time_max) {
  std::vector<Command> commands;
  for (const auto& node : fleet.nodes) {
    if (!node.pod.empty()) commands.push_back(kubectl.in_agent(node.pod, arguments));
  }
  const auto ran = run_all(commands, time_max);
  std::vector<NodeAnswer> out;
  size_t next = 0;
  for (const auto& node : fleet.nodes) {
    NodeAnswer& to = out.emplace_back(NodeAnswer{node.node, nullptr, node.missing});
    if (node.pod.empty()) continue;
    const Ran& one = ran[next++];
    // weirctl on the node says with its exit status how things are there; what it printed counts.
    Json answer = Json::parse(one.out, nullptr, false);
    if (answer.is_structured()) {
      to.answer = std::move(answer);
    } else {
      to.error = why_failed(one, "ask pod " + node.pod);
    }
  }
  return out;
}

}  // namespace weir::agent

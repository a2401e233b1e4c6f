// The commands, over a cluster: what kubectl says, and what `weirctl --local` says on each node. See options.h.
#include <fmt/format.h>

#include <cstdio>
#include <ctime>

#include "agent/cli/fleet_report.h"
#include "agent/cli/graph.h"
#include "agent/cli/members.h"
#include "agent/cli/options.h"
#include "agent/cli/report.h"
#include "agent/cli/tap_merge.h"
#include "agent/cli/why_text.h"

namespace weir::agent {
namespace {

using Json = nlohmann::json;

constexpr auto kTapWait = std::chrono::milliseconds(100);
// Nodes look at their rings every 300 ms, and the way here takes time too.
constexpr auto kTapHold = std::chrono::milliseconds(700);

// All nodes, or the one that --node names; its error, said, is the end.
Fleet fleet_for(const CtlOptions& options) {
  Fleet fleet = find_fleet(options.kubectl);
  if (!fleet.error.empty() || options.node.empty()) return fleet;
  std::erase_if(fleet.nodes, [&](const FleetNode& one) { return one.node != options.node; });
  if (fleet.nodes.empty()) {
    fleet.error = fmt::format("there is no node {}: look at `kubectl get nodes`", options.node);
  }
  return fleet;
}

int say_remark(const Fleet& fleet) {
  if (!fleet.remark.empty()) fmt::print(stderr, "weirctl: {}\n", fleet.remark);
  return 0;
}

bool all_answer(const std::vector<NodeAnswer>& answers) {
  return std::ranges::all_of(answers, [](const NodeAnswer& one) { return one.error.empty(); });
}

// Says which nodes do not answer.
void say_silent(const std::vector<NodeAnswer>& answers) {
  for (const auto& one : answers) {
    if (!one.error.empty()) failed(fmt::format("node {} does not answer: {}", one.node, one.error));
  }
}

// The arguments of a node's tap, as the user gave them.
std::vector<std::string> tap_arguments(const TapOptions& tap) {
  std::vector<std::string> out{"tap", "-o", "json", "--while-input"};
  for (const auto& [name, value] :
       {std::pair("--workload=", tap.workload), {"--route=", tap.route}, {"--status=", tap.status}}) {
    if (!value.empty()) out.push_back(name + value);
  }
  return out;
}

}  // namespace

int cluster_status(const CtlOptions& options) {
  const Fleet fleet = fleet_for(options);
  if (!fleet.error.empty()) return failed(fleet.error);
  say_remark(fleet);
  const auto answers = ask_fleet(options.kubectl, fleet, {"status", "-o", "json"});
  const int64_t now = std::time(nullptr);
  if (options.json()) {
    fmt::print("{}\n", fleet_status_json(answers).dump(1));
  } else if (!options.node.empty() && all_answer(answers)) {
    const Json& answer = answers.front().answer;
    fmt::print("{}", status_text(member_of(answer, "agent"), member_of(answer, "proxy"), now));
  } else {
    fmt::print("{}", fleet_status_text(answers, now));
  }
  return all_answer(answers) ? 0 : 1;
}

int cluster_check(const CtlOptions& options) {
  const Fleet fleet = fleet_for(options);
  if (!fleet.error.empty()) return failed(fleet.error);
  say_remark(fleet);
  const FleetCheck check =
      fleet_check(ask_fleet(options.kubectl, fleet, {"check", "-o", "json"}), std::time(nullptr));
  fmt::print("{}", options.json() ? check.json.dump(1) + "\n" : check.text);
  return check.ok ? 0 : 1;
}

int cluster_version(const CtlOptions& options) {
  const Fleet fleet = fleet_for(options);
  if (!fleet.error.empty()) {
    fmt::print("weirctl {}\n", WEIR_VERSION);
    return failed(fleet.error);
  }
  say_remark(fleet);
  const auto answers = ask_fleet(options.kubectl, fleet, {"status", "-o", "json"});
  const Versions versions = fleet_versions(WEIR_VERSION, answers);
  fmt::print("{}", options.json() ? versions.json.dump(1) + "\n" : versions.text);
  return all_answer(answers) ? 0 : 1;
}

int cluster_why(const CtlOptions& options) {
  const size_t slash = options.pod.find('/');
  const std::string ns = slash == std::string::npos ? options.ns : options.pod.substr(0, slash);
  const std::string name = slash == std::string::npos ? options.pod : options.pod.substr(slash + 1);
  if (!is_name(name) || name.starts_with('-') || (!ns.empty() && !is_name(ns))) {
    return failed(
        fmt::format("{} is no name of a pod: NAMESPACE/NAME, or NAME with -n", visible(options.pod)));
  }
  std::vector<std::string> get{"get", "pod", name, "-o", "json"};
  if (!ns.empty()) get.push_back("--namespace=" + ns);
  const Got pod = json_of(run(options.kubectl.command(get), kGetTimeMax), "find pod " + name);
  if (!pod.error.empty()) return failed(pod.error);
  const std::string node = text_of(member_of(pod.answer, "spec"), "nodeName", "");
  const std::string full = text_of(member_of(pod.answer, "metadata"), "namespace") + "/" + name;
  if (node.empty()) {
    return failed(
        fmt::format("pod {} is on no node yet: `kubectl describe pod` says why it is not scheduled", full));
  }
  CtlOptions of_node = options;
  of_node.node = node;
  const Fleet fleet = fleet_for(of_node);
  if (!fleet.error.empty()) return failed(fleet.error);
  const auto answers = ask_fleet(options.kubectl, fleet, {"why", full, "-o", "json"});
  say_silent(answers);
  if (!all_answer(answers)) return 1;
  const Json& answer = answers.front().answer;
  fmt::print("{}", options.json() ? answer.dump(1) + "\n" : why_text(answer));
  return 0;
}

int cluster_graph(const CtlOptions& options) {
  const Fleet fleet = fleet_for(options);
  if (!fleet.error.empty()) return failed(fleet.error);
  say_remark(fleet);
  const std::chrono::milliseconds interval(static_cast<int64_t>(options.interval_ms));
  const auto answers = ask_fleet(options.kubectl, fleet,
                                 {"graph", "--samples", fmt::format("--interval={}ms", interval.count())},
                                 interval + kExecTimeMax);
  say_silent(answers);
  std::vector<GraphSamples> samples;
  for (const auto& one : answers) {
    if (!one.error.empty()) continue;
    samples.push_back(
        {member_of(one.answer, "before"), member_of(one.answer, "after"), real_of(one.answer, "seconds")});
  }
  const auto rates = merged_rates(samples);
  const double seconds = std::chrono::duration<double>(interval).count();
  fmt::print("{}", options.json() ? graph_json(rates).dump(1) + "\n" : graph_text(rates, seconds));
  return all_answer(answers) ? 0 : 1;
}

int cluster_tap(const CtlOptions& options) {
  // A filter that is no name is refused here, not once on every node.
  if (const TapTarget target = tap_target(options.tap, ""); !target.error.empty())
    return failed(target.error);
  const Fleet fleet = fleet_for(options);
  if (!fleet.error.empty()) return failed(fleet.error);
  say_remark(fleet);
  std::vector<Command> commands;
  std::vector<std::string> names;
  int status = 0;
  for (const auto& node : fleet.nodes) {
    if (node.pod.empty()) {
      status = failed(fmt::format("node {} does not answer: {}", node.node, node.missing));
      continue;
    }
    commands.push_back(options.kubectl.in_agent(node.pod, tap_arguments(options.tap), true));
    names.push_back(node.node);
  }
  LineStreams streams(commands);
  TapMerge merge(kTapHold);
  TapTable columns;
  if (!options.json()) fmt::print("{}", columns.line(TapTable::heading()));
  uint64_t printed = 0;
  for (bool going = true; going;) {
    going = streams.read(kTapWait, [&](size_t index, const std::string& line) {
      Json request = Json::parse(line, nullptr, false);
      if (!request.is_object()) return;
      request["node"] = names[index];
      merge.add(std::move(request), TapMerge::TimePoint::clock::now());
    });
    for (const Json& request : merge.take(TapMerge::TimePoint::clock::now(), !going)) {
      fmt::print("{}",
                 options.json() ? request.dump(-1, ' ', true) + "\n" : columns.line(tap_cells(request)));
      if (++printed == options.tap_count) return status;
    }
    for (int ended; (ended = streams.take_ended()) >= 0;) {
      const auto index = static_cast<size_t>(ended);
      status = failed(fmt::format("node {}: {}", names[index], why_failed(streams.ran(index), "tap")));
    }
    if (std::fflush(stdout) != 0) return 1;  // nobody reads any more
  }
  return status;
}

}  // namespace weir::agent

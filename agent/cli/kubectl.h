#pragma once
// The cluster, by the user's own kubectl: with the credentials, plug-ins and rights that the user has, and nothing else.
// Commands are only built here; process.h runs them. What kubectl says when it fails becomes a sentence with what to do.
// Thread: any; values.
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "agent/cli/process.h"

namespace weir::agent {

inline constexpr const char* kWeirNamespaceName = "weir-system";
inline constexpr auto kGetTimeMax = std::chrono::seconds(20);
inline constexpr auto kExecTimeMax = std::chrono::seconds(30);

struct Kubectl {
  std::string program = "kubectl", kubeconfig, context;

  Command command(std::vector<std::string> arguments) const;
  // `weirctl --local ARGUMENTS` in the agent's container of that pod. `hold_input`: it ends when we do.
  Command in_agent(const std::string& pod, const std::vector<std::string>& arguments,
                   bool hold_input = false) const;
};

// "you may not list nodes: …", from what kubectl left behind; `doing`: "list nodes".
std::string why_failed(const Ran& ran, const std::string& doing);

struct Got {
  nlohmann::json answer;  // null when there is none
  std::string error;
};
// The JSON that kubectl printed. One that says nothing where nothing was found (--ignore-not-found) is null without error.
Got json_of(const Ran& ran, const std::string& doing);

}  // namespace weir::agent

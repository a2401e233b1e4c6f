#pragma once
// What weirctl prints of a whole cluster, from what each node answered. Pure. Thread: any.
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "agent/cli/fleet.h"

namespace weir::agent {

// Of `weirctl --local status -o json` of each node: a line a node, then nodes that do not answer, then what is wrong, each
// sentence once with the nodes that say it.
std::string fleet_status_text(const std::vector<NodeAnswer>& answers, int64_t now);
nlohmann::json fleet_status_json(const std::vector<NodeAnswer>& answers);

// Of the same answers: programs that differ from this weirctl, from each other on a node, or between nodes.
struct Versions {
  std::string text;
  nlohmann::json json;
  bool skewed = false;
};
Versions fleet_versions(const std::string& own, const std::vector<NodeAnswer>& answers);

// Of `weirctl --local check -o json`.
struct FleetCheck {
  std::string text;
  nlohmann::json json;
  bool ok = true;
};
FleetCheck fleet_check(const std::vector<NodeAnswer>& answers, int64_t now);

// "a, b and 3 more".
std::string some_of(const std::vector<std::string>& names, size_t most = 3);

}  // namespace weir::agent

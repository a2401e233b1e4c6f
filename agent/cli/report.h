#pragma once
// What weirctl prints: text for people and one JSON value for machines, from what agent and proxy answered. Pure, so
// that its tables are tested without either. Thread: any.
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace weir::agent {

// Columns padded to their widest cell, two blanks between; the first row is the heading.
std::string table(const std::vector<std::vector<std::string>>& rows);

// What is wrong by the agent's /status, a sentence each.
std::vector<std::string> problems(const nlohmann::json& agent);

// "23h 59m", "8s", "expired 3s ago", "-" for 0: until Unix time `at`, seen from `now`.
std::string until(int64_t at, int64_t now);

// `agent`: its /status; `proxy`: its /status, or null when it could not be asked.
std::string status_text(const nlohmann::json& agent, const nlohmann::json& proxy, int64_t now);

struct CheckReport {
  bool ok = false;
  std::string text;
};
// `checks`: the agent's /check; `proxy` as above. Certificates are judged here: missing or expired is a failure.
CheckReport check_text(const nlohmann::json& checks, const nlohmann::json& proxy, int64_t now);

}  // namespace weir::agent

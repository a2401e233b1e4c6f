#pragma once
// `weirctl why POD` as text. Pure. Thread: any.
#include <nlohmann/json.hpp>
#include <string>

namespace weir::agent {

// `answer`: {"agent": the agent's /why, "refusals": access-log lines or null, "refusals_error": why null}.
std::string why_text(const nlohmann::json& answer);

}  // namespace weir::agent

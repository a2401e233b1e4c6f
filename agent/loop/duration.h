#pragma once
// Durations as people write them on a command line. Thread: any; pure.
#include <chrono>
#include <optional>
#include <string>

namespace weir::agent {

// "24h", "30m", "10s", "90": seconds. Nothing: not understood, not positive, or more than a hundred years.
std::optional<std::chrono::seconds> parse_duration(const std::string& text);

}  // namespace weir::agent

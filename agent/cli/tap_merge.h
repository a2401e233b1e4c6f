#pragma once
// Requests of many nodes in the order of their time: each node sends its own in order, some later than others, so each is
// held for a moment before it is shown. Pure; times are the caller's. Thread: any.
#include <chrono>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace weir::agent {

class TapMerge {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  explicit TapMerge(std::chrono::milliseconds hold) : hold_(hold) {}
  void add(nlohmann::json request, TimePoint now);
  // Those held long enough, and all that are older by their own time; with `all`, every one.
  std::vector<nlohmann::json> take(TimePoint now, bool all = false);

 private:
  struct Held {
    std::string time;  // RFC 3339 in UTC, of one width: sorts as text
    TimePoint came;
    nlohmann::json request;
  };
  const std::chrono::milliseconds hold_;
  std::vector<Held> held_;  // by `time`
};

}  // namespace weir::agent

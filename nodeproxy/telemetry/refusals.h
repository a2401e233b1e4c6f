#pragma once
// The last times that policy or identity turned somebody away, a few for each pod of this node: what `weirctl why` shows
// without an access log at hand. Lines are the access log's own. Kept whether or not a log is written, since a refusal
// is rare and a person asks after the fact; bounded by limits.h, so that nobody who is refused in a loop fills memory,
// and nobody drives out what was said of another pod.
// Thread: one worker. Lifetime: the worker's.
#include <chrono>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "nodeproxy/base/reason.h"

namespace weir::telemetry {

// Turned away by a policy, a mode, an identity that was not proved, or an address that the mesh does not know.
bool is_refusal(Reason reason);

struct RefusalLine {
  std::chrono::system_clock::time_point time;
  std::string text;  // an access-log line with its newline
};

class Refusals {
 public:
  // `pod`: "namespace/name" of the reporter's own pod; nothing is kept of an unknown one.
  void add(const std::string& pod, std::string_view line);
  // The oldest first.
  std::vector<RefusalLine> of(const std::string& pod) const;

 private:
  std::unordered_map<std::string, std::deque<RefusalLine>> pods_;
};

}  // namespace weir::telemetry

#pragma once
// A copy of what one worker counts, taken on its thread for a scrape or a status.
// Thread: a value.
#include <chrono>
#include <string>
#include <vector>

#include "nodeproxy/telemetry/record.h"
#include "nodeproxy/telemetry/series.h"

namespace weir::telemetry {

// A live flow, for `weirctl` and the admin socket.
struct FlowView {
  std::string pod;  // uid of the local pod whose listener it came through
  Facts facts;
  bool open = false;  // through to the other side
  uint64_t sent_bytes = 0, received_bytes = 0;
  std::chrono::nanoseconds age{};
};

struct WorkerReport {
  std::vector<Row> rows;
  WorkerCounters counters;
  uint64_t live_flows = 0;  // connections and sessions; accepted lanes are none
  uint64_t lanes_dialled = 0, lanes_accepted = 0, sessions_dialled = 0, sessions_accepted = 0;  // open now
  struct PodFlows {
    std::string uid;
    uint64_t flows = 0;
  };
  std::vector<PodFlows> pods;
};

}  // namespace weir::telemetry

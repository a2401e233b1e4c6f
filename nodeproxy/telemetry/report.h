#pragma once
// A copy of what one worker counts, taken on its thread for a scrape or a status.
// Thread: a value.
#include <string>
#include <vector>

#include "nodeproxy/telemetry/series.h"

namespace weir::telemetry {

struct WorkerReport {
  std::vector<Row> rows;
  WorkerCounters counters;
  uint64_t live_flows = 0, lanes = 0, sessions = 0;
  struct PodFlows {
    std::string uid;
    uint64_t flows = 0;
  };
  std::vector<PodFlows> pods;
};

}  // namespace weir::telemetry

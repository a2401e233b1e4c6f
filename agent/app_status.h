#pragma once
// The parts of status that are more words than sense. Private to app*.cc. Thread: the loop's.
#include "agent/metrics.h"
#include "agent/redirect/redirect.h"

namespace weir::agent {

// RedirectCounters → weir_capture_events_total and weir_capture_entries.
void refresh_capture_counters(const Redirect& redirect, Metrics& metrics);

}  // namespace weir::agent

#pragma once
// The names, kinds and explanations of the agent's numbers. Thread: any; constant.
#include "agent/metrics.h"

namespace weir::agent {

std::span<const DescribedMetric> agent_metrics();

}  // namespace weir::agent

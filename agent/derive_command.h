#pragma once
// weir-agent derive: what would be configured on a node, from files or the API server, as JSON on standard output.
// Needs neither root nor BPF, and changes nothing. Thread: main's.
#include "agent/options.h"

namespace weir::agent {

// With `follow` a line for each change, until it is interrupted; else once, readable. The exit code.
int print_derived(const AgentOptions& options, bool follow);

}  // namespace weir::agent

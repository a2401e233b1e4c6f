#pragma once
// weir-agent uninstall: leaves pods and node as they were. Thread: main's.
#include "agent/options.h"

namespace weir::agent {

// What this agent announced goes first, then capture, then what is kept on disk. The exit code.
int uninstall(const AgentOptions& options);

}  // namespace weir::agent

#pragma once
// The `run` command: serves the node until a signal comes, or until a newer agent of the node asks for its place; then waits,
// healthy and not ready, and serves again if the newer one ends. Thread: the main thread. Returns the exit code.
#include "agent/options.h"

namespace weir::agent {

int run_agent(const AgentOptions& options);

}  // namespace weir::agent

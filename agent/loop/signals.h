#pragma once
// Ending a program in order. Thread: main's, before any other is made.
#include "nodeproxy/base/fd.h"

namespace weir::agent {

// A descriptor that becomes readable (signalfd_siginfo) on SIGTERM and SIGINT, which are blocked in this thread and in every
// thread made later. SIGPIPE is ignored from now on.
Fd block_signals();

}  // namespace weir::agent

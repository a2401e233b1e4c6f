// See signals.h.
#include "agent/loop/signals.h"

#include <pthread.h>
#include <sys/signalfd.h>

#include <csignal>

namespace weir::agent {

Fd block_signals() {
  ::signal(SIGPIPE, SIG_IGN);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
  return Fd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
}

}  // namespace weir::agent

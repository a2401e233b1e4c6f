#pragma once
// The agent's main loop: poll(2) over descriptors, timers, and tasks posted by other threads. Everything the agent does
// runs here, except the HTTP thread (nodeproxy/base/local_http.h), which posts and waits.
//
// Concept: single-threaded, so nothing in the agent needs a lock. Handlers may add and remove descriptors and timers,
// their own too. Owner: main. Thread: run()'s; post() and stop() from any. Lifetime: outlives all that it calls.
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <vector>

#include "nodeproxy/base/fd.h"

namespace weir::agent {

class Loop {
 public:
  using Clock = std::chrono::steady_clock;
  using Task = std::function<void()>;
  using Handler = std::function<void(short events)>;
  using TimerId = uint64_t;  // 0: none

  Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  // Calls `handler` when poll reports any of `events` (or an error) on the descriptor, which stays the caller's.
  void watch(int fd, short events, Handler handler);
  void set_events(int fd, short events);
  void unwatch(int fd);

  TimerId after(std::chrono::milliseconds delay, Task task);
  // A timer that ran, or 0, is welcome.
  void cancel(TimerId timer);

  void post(Task task);
  void run();
  void stop();
  // One round: waits at most `wait`, then runs what is due. For tests.
  void run_once(std::chrono::milliseconds wait);

 private:
  struct Watched {
    short events = 0;
    uint64_t generation = 0;  // a descriptor number reused within one round is not the one that was polled
    Handler handler;
  };

  std::map<int, Watched> watched_;
  std::map<std::pair<Clock::time_point, TimerId>, Task> timers_;
  std::map<TimerId, Clock::time_point> due_;
  uint64_t next_id_ = 1;
  bool stopping_ = false;
  Fd wake_;
  std::mutex mutex_;
  std::vector<Task> posted_;  // under mutex_
};

}  // namespace weir::agent

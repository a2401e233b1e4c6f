#pragma once
// A pause in a coroutine: ends at the deadline, or at once when the scope is cancelled.
// Thread: one worker.
#include "nodeproxy/io/signal.h"

namespace weir::io {

// Status: ok after the pause, Reason::cancelled otherwise.
inline Task<Status> sleep(Driver& driver, Clock::duration pause) {
  Signal never;
  const Status status = co_await never.wait(driver.now() + pause);
  if (!status && status.error().reason == Reason::cancelled) co_return status;
  co_return Status();
}

// Goes on from the loop, in the same turn: for a start that must not run on its caller's stack.
struct Yield {
  Driver& driver;
  bool await_ready() const noexcept { return false; }
  template <typename Promise>
  void await_suspend(std::coroutine_handle<Promise> waiting) {
    driver.ready(waiting, waiting.promise().scope->share());
  }
  void await_resume() const noexcept {}
};

}  // namespace weir::io

#pragma once
// Signal: one coroutine waits until another says that something changed (bytes came, a send queue drained, a
// certificate arrived). A notify before the wait is kept, so there is no lost wake-up; the waiter checks its own
// condition in a loop.
// Thread: one worker. Lifetime: outlives its waiter.
#include <coroutine>
#include <cstdlib>

#include "nodeproxy/io/scope.h"

namespace weir::io {

class Signal {
 public:
  class Wait;

  // Wakes the waiter at the loop, or is kept for the next wait.
  void notify();
  bool pending() const { return set_; }
  // Forgets a notify that was kept: the caller has just looked at the condition itself.
  void clear() { set_ = false; }
  // Status: ok when notified, Reason::cancelled, or Reason::detect_timeout at the deadline.
  Wait wait(TimePoint deadline = kNever);

 private:
  friend class Wait;
  Wait* waiter_ = nullptr;
  bool set_ = false;
};

class Signal::Wait final : private Suspension, private Timer {
 public:
  Wait(Signal& signal, TimePoint deadline) : signal_(signal), deadline_(deadline) {}

  bool await_ready() noexcept { return std::exchange(signal_.set_, false); }
  template <typename Promise>
  bool await_suspend(std::coroutine_handle<Promise> waiting) {
    scope_ = waiting.promise().scope;
    if (cancelled_before(scope_)) {
      outcome_ = Reason::cancelled;
      return false;
    }
    if (signal_.waiter_) std::abort();  // one waiter: the first would sleep for ever
    waiting_ = waiting;
    signal_.waiter_ = this;
    enter(scope_);
    if (deadline_ != kNever) scope_->driver().timers().arm(*this, deadline_);
    return true;
  }
  Status await_resume() {
    if (outcome_ != Reason::none) return fail(Source::local, outcome_);
    return {};
  }

 private:
  friend class Signal;
  void end(Reason outcome);
  void on_cancel() override { end(Reason::cancelled); }
  void fire() override { end(Reason::detect_timeout); }

  Signal& signal_;
  TimePoint deadline_;
  Scope* scope_ = nullptr;
  Reason outcome_ = Reason::none;
  std::coroutine_handle<> waiting_;
};

inline Signal::Wait Signal::wait(TimePoint deadline) { return Wait(*this, deadline); }

}  // namespace weir::io

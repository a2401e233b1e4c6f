#pragma once
// A scope inside a coroutine, for work beside the main line: spawn into it, cancel it, and join it before leaving. The
// join is not cancellable: a frame must not go while a child still uses it.
// Thread: one worker. Lifetime: a local of the coroutine that joins it.
#include "nodeproxy/io/scope.h"

namespace weir::io {

class ChildScope final : public Scope {
 public:
  using Scope::Scope;

  struct Join {
    ChildScope& scope;
    bool await_ready() const noexcept { return scope.empty(); }
    void await_suspend(std::coroutine_handle<> waiting) noexcept { scope.waiting_ = waiting; }
    void await_resume() const noexcept {}
  };
  // Resumes when the last child has ended.
  Join join() { return Join{*this}; }

 private:
  void on_empty() override {
    if (waiting_) driver().ready(std::exchange(waiting_, {}), share());
  }

  std::coroutine_handle<> waiting_;
};

}  // namespace weir::io

// Spawning, cancelling and joining. See scope.h.
#include "nodeproxy/io/scope.h"

#include <cstdlib>

namespace weir::io {

void Suspension::enter(Scope* scope) {
  scope_ = scope;
  previous_ = nullptr;
  next_ = scope->waits_;
  if (next_) next_->previous_ = this;
  scope->waits_ = this;
}

void Suspension::leave() {
  if (!scope_) return;
  if (previous_) {
    previous_->next_ = next_;
  } else {
    scope_->waits_ = next_;
  }
  if (next_) next_->previous_ = previous_;
  scope_ = nullptr;
}

bool Suspension::cancelled_before(const Scope* scope) const { return scope->cancelled(); }

// The frame that owns a spawned task: ends by itself and tells the scope.
struct Scope::Root {
  struct promise_type : PromiseBase {
    Root get_return_object() { return {std::coroutine_handle<promise_type>::from_promise(*this)}; }
    std::suspend_never final_suspend() const noexcept { return {}; }
    void return_void() const noexcept {}
  };
  std::coroutine_handle<promise_type> handle;
};

Scope::Root Scope::run(Scope* scope, Task<void> task) {
  {
    Task<void> mine = std::move(task);
    co_await std::move(mine);
  }
  scope->child_ended();
}

void Scope::spawn(Task<void> task) {
  ++children_;
  const Root root = run(this, std::move(task));
  root.handle.promise().scope = this;
  root.handle.resume();
}

void Scope::child_ended() {
  if (--children_ == 0) on_empty();
}

void Scope::cancel() {
  cancelled_ = true;
  // on_cancel never resumes in place (it asks the driver, or queues the handle), so the list only changes between.
  for (Suspension* wait = waits_; wait;) {
    Suspension* next = wait->next_;
    wait->on_cancel();
    wait = next;
  }
}

Scope::~Scope() {
  if (children_ != 0) std::abort();
}

namespace {

// Runs a task and, as the last of two, resumes the waiting parent.
struct Half {
  struct promise_type : PromiseBase {
    int* left = nullptr;
    std::coroutine_handle<>* parent = nullptr;
    Half get_return_object() { return {std::coroutine_handle<promise_type>::from_promise(*this)}; }
    struct Last {
      bool await_ready() const noexcept { return false; }
      std::coroutine_handle<> await_suspend(std::coroutine_handle<promise_type> ended) const noexcept {
        promise_type& promise = ended.promise();
        if (--*promise.left == 0) return *promise.parent;
        return std::noop_coroutine();
      }
      void await_resume() const noexcept {}
    };
    Last final_suspend() const noexcept { return {}; }
    void return_void() const noexcept {}
  };
  std::coroutine_handle<promise_type> handle;
};

Half half(Task<void> task) { co_await std::move(task); }

struct BothAwaiter {
  Half first, second;
  int left = 3;  // two halves and the starter
  std::coroutine_handle<> parent = {};

  bool await_ready() const noexcept { return false; }
  template <typename Parent>
  bool await_suspend(std::coroutine_handle<Parent> waiting) {
    parent = waiting;
    for (Half* part : {&first, &second}) {
      auto& promise = part->handle.promise();
      promise.scope = waiting.promise().scope;
      promise.left = &left;
      promise.parent = &parent;
      part->handle.resume();
    }
    return --left != 0;
  }
  void await_resume() {
    first.handle.destroy();
    second.handle.destroy();
  }
};

}  // namespace

Task<void> both(Task<void> first, Task<void> second) {
  co_await BothAwaiter{half(std::move(first)), half(std::move(second))};
}

}  // namespace weir::io

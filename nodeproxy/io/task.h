#pragma once
// Task<T>: a lazy coroutine with one owner, started by co_await or by Scope::spawn, in the Scope of whoever awaits it.
// Parameters by value; no capturing lambda coroutines (their captures die with the lambda).
// gcc 12 makes a trap of `if (co_await …)` and `while (co_await …)` in a coroutine whose outermost block declares no
// variable: take the result into a variable, then test that.
// It also copies the bytes of a braced temporary handed to a coroutine by value, and destroys both: name a variable and
// move it. And of `c ? co_await a : co_await b` it destroys one too many: write an if.
// Thread: one worker. Lifetime: the frame goes when its owner drops it, which is only after it has ended.
#include <coroutine>
#include <cstdlib>
#include <optional>
#include <utility>

#include "nodeproxy/io/frame_pool.h"

namespace weir::io {

class Scope;

struct PromiseBase {
  Scope* scope = nullptr;
  // Who to resume at the end; nobody while the awaiter is still starting us and will look for itself.
  std::coroutine_handle<> continuation = std::noop_coroutine();

  struct FinalAwaiter {
    bool await_ready() const noexcept { return false; }
    template <typename Promise>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> ended) const noexcept {
      return ended.promise().continuation;
    }
    void await_resume() const noexcept {}
  };

  std::suspend_always initial_suspend() const noexcept { return {}; }
  FinalAwaiter final_suspend() const noexcept { return {}; }
  [[noreturn]] void unhandled_exception() const noexcept { std::abort(); }  // errors are values here

  static void* operator new(size_t size) { return frame_allocate(size); }
  static void operator delete(void* memory, size_t size) { frame_release(memory, size); }
};

template <typename T>
struct Promise;

template <typename T = void>
class [[nodiscard]] Task {
 public:
  using promise_type = Promise<T>;
  using Handle = std::coroutine_handle<promise_type>;

  explicit Task(Handle handle) : handle_(handle) {}
  Task(Task&& other) noexcept : handle_(std::exchange(other.handle_, {})) {}
  Task& operator=(Task&&) = delete;
  ~Task() {
    if (handle_) handle_.destroy();
  }

  struct Awaiter {
    Handle child;
    bool await_ready() const noexcept { return false; }
    // Not by symmetric transfer: gcc makes a tail call of that only when it optimises and no sanitizer is on, so a loop
    // over tasks that end without suspending would eat the stack in a debug build.
    template <typename Parent>
    bool await_suspend(std::coroutine_handle<Parent> parent) noexcept {
      child.promise().scope = parent.promise().scope;
      child.resume();
      if (child.done()) return false;
      child.promise().continuation = parent;
      return true;
    }
    T await_resume() {
      if constexpr (!std::is_void_v<T>) return std::move(*child.promise().value);
    }
  };
  Awaiter operator co_await() && noexcept { return Awaiter{handle_}; }

  Handle handle() const { return handle_; }
  Handle release() { return std::exchange(handle_, {}); }

 private:
  Handle handle_;
};

template <typename T>
struct Promise : PromiseBase {
  std::optional<T> value;
  Task<T> get_return_object() { return Task<T>(std::coroutine_handle<Promise>::from_promise(*this)); }
  template <typename U>
  void return_value(U&& result) {
    value.emplace(std::forward<U>(result));
  }
};

template <>
struct Promise<void> : PromiseBase {
  Task<void> get_return_object() { return Task<void>(std::coroutine_handle<Promise>::from_promise(*this)); }
  void return_void() const noexcept {}
};

}  // namespace weir::io

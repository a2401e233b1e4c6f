#pragma once
// Scope: the owner of a flow's coroutines. Children are spawned into it; cancel() asks every suspension below to end
// early (their awaits return −ECANCELED, and so does every await begun later); when the last child has ended, the
// scope's on_empty runs and its owner may go. So nothing is destroyed while the kernel still holds an operation.
// Whatever its coroutines wait for goes on on the scope's account: that of whoever made it, until told otherwise.
// Suspension: what a coroutine waits for, reachable by cancel() and, where asked, by a deadline.
// Thread: one worker.
#include <coroutine>
#include <cstdint>

#include "nodeproxy/io/driver.h"
#include "nodeproxy/io/task.h"

namespace weir::io {

class Scope;

// A node in its scope's list of suspended waits.
class Suspension {
 protected:
  Suspension() = default;
  Suspension(const Suspension&) = delete;
  Suspension& operator=(const Suspension&) = delete;
  ~Suspension() { leave(); }
  void enter(Scope* scope);
  void leave();
  bool cancelled_before(const Scope* scope) const;

 private:
  friend class Scope;
  virtual void on_cancel() = 0;
  Scope* scope_ = nullptr;
  Suspension *previous_ = nullptr, *next_ = nullptr;
};

class Scope {
 public:
  explicit Scope(Driver& driver) : driver_(driver), share_(driver.share()) {}
  Scope(const Scope&) = delete;
  Scope& operator=(const Scope&) = delete;
  virtual ~Scope();  // aborts if a child is alive: a broken invariant stops the process

  // Starts the task at once, on the caller's stack up to its first suspension.
  void spawn(Task<void> task);
  void cancel();
  bool cancelled() const { return cancelled_; }
  bool empty() const { return children_ == 0; }
  Driver& driver() const { return driver_; }
  Share share() const { return share_; }
  void set_share(Share share) { share_ = share; }  // before anything is spawned

 protected:
  // The last child has ended. May delete the scope.
  virtual void on_empty() {}

 private:
  friend class Suspension;
  struct Root;
  static Root run(Scope* scope, Task<void> task);
  void child_ended();

  Driver& driver_;
  Suspension* waits_ = nullptr;
  uint32_t children_ = 0;
  bool cancelled_ = false;
  Share share_;
};

// Awaits both; the second starts when the first first suspends. Same scope as the caller.
Task<void> both(Task<void> first, Task<void> second);

}  // namespace weir::io

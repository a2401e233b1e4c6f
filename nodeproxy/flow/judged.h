#pragma once
// Something live that a destination's policy has allowed: a connection, a session, a request. It stands in that pod's
// list, and is asked again whenever the pod's policies or mode change; what is no longer allowed ends itself.
// Thread: one worker. Lifetime: a base of the flow or exchange; leaves the list when it goes.
#include "nodeproxy/base/reason.h"
#include "nodeproxy/config/snapshot.h"

namespace weir::flow {

class Judged {
 public:
  Judged() = default;
  Judged(const Judged&) = delete;
  Judged& operator=(const Judged&) = delete;

  // Judges by `now`, and ends what it no longer allows. Never destroys anything inside the call.
  virtual void judge_again(const config::Workload& now) = 0;
  // The destination itself is gone.
  virtual void pod_gone(Reason reason) = 0;
  Judged* next() const { return next_; }

 protected:
  ~Judged() { leave_judged(); }
  void enter_judged(Judged*& list);
  void leave_judged();

 private:
  Judged **list_ = nullptr, *previous_ = nullptr, *next_ = nullptr;
};

}  // namespace weir::flow

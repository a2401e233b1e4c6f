#pragma once
// Something live that a destination's policy has allowed: a connection, a session, a request. It stands in that pod's
// list, and is asked again whenever the pod's policies or mode change; what is no longer allowed ends itself.
// Thread: one worker. Lifetime: a base of the flow or exchange; leaves the list when it goes.
#include "nodeproxy/base/reason.h"
#include "nodeproxy/config/snapshot.h"
#include "nodeproxy/flow/link.h"

namespace weir::flow {

class Judged {
 public:
  // Judges by `now`, and ends what it no longer allows. Never destroys anything inside the call.
  virtual void judge_again(const config::Workload& now) = 0;
  // The destination itself is gone.
  virtual void pod_gone(Reason reason) = 0;

 protected:
  ~Judged() = default;
  Link<Judged> judged_link_{this};  // in the list of the destination that has allowed it
};

}  // namespace weir::flow

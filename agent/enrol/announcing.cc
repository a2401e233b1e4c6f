// The words about a pod to all nodes: announced when it is captured, withdrawn before it no longer is. Writing them may
// take its time and fail, as when the API server is away. See enrolment.h.
#include "agent/enrol/enrolment.h"
#include "nodeproxy/base/log.h"

namespace weir::agent {

void Enrolment::announce(Pod& pod) {
  pod.told = true;
  const uint64_t word = ++pod.last_word;
  announcements_.announce(pod.spec, [this, uid = pod.spec.uid, word](Status done) {
    const auto found = pods_.find(uid);
    if (found == pods_.end() || found->second.last_word != word) return;
    Pod& pod = found->second;
    pod.announced = done.has_value();
    pod.error = done ? std::string() : "announcing: " + done.error().describe();
    if (!done) {
      log::error("pod {}: {}", pod.spec.name.text(), pod.error);
      start_timer(pod, kEnrolRetryMax, &Enrolment::announce);
    }
    if (options_.changed) options_.changed(uid);
  });
}

// Peers go on speaking mTLS until this succeeds: a pod that leaves stays captured so long.
void Enrolment::withdraw(Pod& pod) {
  if (!pod.told) return;
  const uint64_t word = ++pod.last_word;
  announcements_.withdraw(pod.spec.uid, [this, uid = pod.spec.uid, word](Status done) {
    const auto found = pods_.find(uid);
    if (found == pods_.end() || found->second.last_word != word) return;
    Pod& pod = found->second;
    if (done) {
      pod.told = pod.announced = false;
      if (pod.state == PodState::leaving) leave(pod, pod.removed);
      return;
    }
    pod.error = "withdrawing the announcement: " + done.error().describe();
    log::error("pod {}: {}", pod.spec.name.text(), pod.error);
    if (pod.state == PodState::leaving) start_timer(pod, options_.grace, &Enrolment::leave_again);
  });
}

// Of a pod that nobody captures any more.
void Enrolment::withdraw_orphan(const std::string& uid) {
  orphans_[uid] = 0;
  announcements_.withdraw(uid, [this, uid](Status done) {
    const auto orphan = orphans_.find(uid);
    if (orphan == orphans_.end()) return;
    if (done || pods_.contains(uid)) {
      orphans_.erase(orphan);
      return;
    }
    log::error("pod {}: {}", uid, done.error().describe());
    orphan->second = loop_.after(kEnrolRetryMax, [this, uid] {
      orphans_.erase(uid);
      if (!pods_.contains(uid)) withdraw_orphan(uid);
    });
  });
}

}  // namespace weir::agent

// Leaving the mesh: withdraw, wait, disarm, let the proxy drain, restore the pod. And namespaces that are replaced or
// go while the pod object stays. See enrolment.h.
#include <utility>

#include "agent/enrol/enrolment.h"
#include "nodeproxy/base/log.h"

namespace weir::agent {

void Enrolment::withdraw_from_proxy(Pod& pod, bool removed) {
  if (!std::exchange(pod.offered, false)) return;
  pod.accepting = false;
  if (!channel_.gone(pod.spec.uid, removed)) return;
  pod.release_pending = true;
  loop_.cancel(pod.release_timer);
  pod.release_timer = loop_.after(options_.removed_wait, [this, uid = pod.spec.uid] { released(uid); });
}

void Enrolment::leave(Pod& pod, bool removed) {
  pod.wanted = false;
  pod.removed = removed;
  loop_.cancel(std::exchange(pod.timer, 0));
  if (pod.state == PodState::draining) return;
  pod.state = PodState::leaving;
  if (pod.told) return withdraw(pod);  // and then again
  // Nobody dials a pod that is gone, and its address may soon be another's; an unlabelled one lives on in plaintext,
  // so its peers must have seen the withdrawal first.
  const auto grace = removed || !pod.armed ? std::chrono::milliseconds(0) : options_.grace;
  start_timer(pod, grace, &Enrolment::disarm_and_drain);
}

void Enrolment::leave_again(Pod& pod) { leave(pod, pod.removed); }

void Enrolment::disarm_and_drain(Pod& pod) {
  if (!pod.prepared) {
    // Never captured, or its namespace went before its object did.
  } else if (auto ok = capture_.disarm(pod.spec.uid); !ok) {
    // Also when its namespace is gone: remove() below deals with what is left.
    log::warn("pod {}: {}", pod.spec.name.text(), ok.error().describe());
  }
  pod.armed = false;
  pod.state = PodState::draining;
  const bool proxy_has_it = std::exchange(pod.offered, false) && channel_.gone(pod.spec.uid, pod.removed);
  pod.accepting = false;
  if (!proxy_has_it) return finish_draining(pod);
  start_timer(pod, pod.removed ? options_.removed_wait : options_.drain_wait, &Enrolment::finish_draining);
}

// The pod is restored and forgotten, or enrolled anew when it was labelled again meanwhile. `pod` may be gone after it.
void Enrolment::finish_draining(Pod& pod) {
  loop_.cancel(std::exchange(pod.timer, 0));
  if (auto ok = capture_.remove(pod.spec.uid); !ok) {
    if (pod.error.empty()) log::error("pod {}: {}", pod.spec.name.text(), ok.error().describe());
    pod.error = ok.error().describe();
    return start_timer(pod, std::chrono::seconds(2), &Enrolment::finish_draining);
  }
  log::info("pod {}: {}", pod.spec.name.text(), pod.removed ? "gone" : "released, no longer in the mesh");
  if (pod.wanted) {
    const LocalPodSpec spec = pod.spec;
    loop_.cancel(pod.release_timer);
    pod = Pod();
    pod.spec = spec;
    return enrol(pod);
  }
  loop_.cancel(pod.release_timer);
  pods_.erase(std::string(pod.spec.uid));
}

void Enrolment::released(const std::string& uid) {
  const auto found = pods_.find(uid);
  if (found == pods_.end()) return;
  Pod& pod = found->second;
  if (pod.state == PodState::draining) return finish_draining(pod);
  if (!std::exchange(pod.release_pending, false)) return;
  loop_.cancel(std::exchange(pod.release_timer, 0));
  if (pod.state == PodState::captured || pod.state == PodState::offering) offer(pod);
}

void Enrolment::proxy_gone() {
  early_gone_ = !adopted_;
  std::vector<std::string> draining;
  for (auto& [uid, pod] : pods_) {
    pod.offered = pod.accepting = pod.release_pending = false;
    loop_.cancel(std::exchange(pod.release_timer, 0));
    if (pod.state == PodState::draining) draining.push_back(uid);
  }
  // Its flows ended with it.
  for (const auto& uid : draining) released(uid);
}

// A pod whose namespace file now stands for another namespace, or for none, is not captured any more, whatever its
// object says. Where no file says so, nothing found means nothing: a pod between two containers has no process, and
// capture is not taken from it.
void Enrolment::check_namespaces() {
  check_timer_ = loop_.after(options_.netns_check, [this] { check_namespaces(); });
  for (auto& [uid, pod] : pods_) check_namespace(pod, false);
}

void Enrolment::recheck(const std::string& uid) {
  const auto found = pods_.find(uid);
  if (found == pods_.end()) return;
  if (found->second.state == PodState::waiting) return enrol(found->second);
  check_namespace(found->second, true);
}

// `look`: even if the path still leads to it.
void Enrolment::check_namespace(Pod& pod, bool look) {
  if (!pod.wanted || (pod.state != PodState::captured && pod.state != PodState::offering)) return;
  if (!look && namespace_id(pod.netns_path) == pod.netns) return;
  const auto now = options_.find_netns(pod.spec, pod.netns_path);
  if (now && now->id == pod.netns) {
    if (now->path != pod.netns_path) enrol(pod);  // it is found by another path: remember that one
    return;
  }
  if (!now && !pod.by_file) return;
  log::warn("pod {}: its network namespace {}", pod.spec.name.text(), now ? "is another now" : "is gone");
  withdraw(pod);
  if (now) {
    withdraw_from_proxy(pod, true);
    pod.has_listeners = false;
    return enrol(pod);
  }
  // Its capture goes when the proxy has let go, not before: the resets that end its connections to the dead pod's
  // sockets take capture's route, and a socket that no reset reaches keeps the namespace for minutes.
  pod.removed = true;
  disarm_and_drain(pod);
}

}  // namespace weir::agent

// Enrolling: the steps of a pod from wanted to captured, and what may change meanwhile. Leaving is in leaving.cc.
// See enrolment.h.
#include "agent/enrol/enrolment.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>

#include "nodeproxy/base/limits.h"
#include "nodeproxy/base/log.h"

namespace weir::agent {
namespace {

constexpr std::chrono::milliseconds kRetryFirst{100};

std::vector<int> release_all(std::vector<Fd>& descriptors) {
  std::vector<int> out;
  out.reserve(descriptors.size());
  for (auto& fd : descriptors) out.push_back(fd.release());
  return out;
}

// Whether two descriptors are one socket.
bool same_socket(int a, int b) {
  struct stat first{}, second{};
  return ::fstat(a, &first) == 0 && ::fstat(b, &second) == 0 && first.st_dev == second.st_dev &&
         first.st_ino == second.st_ino;
}

}  // namespace

const char* label(PodState state) {
  switch (state) {
    case PodState::waiting: return "waiting";
    case PodState::adopting: return "adopting";
    case PodState::offering: return "offering";
    case PodState::captured: return "captured";
    case PodState::leaving: return "leaving";
    case PodState::draining: return "draining";
  }
  return "waiting";
}

Enrolment::Enrolment(Loop& loop, Capture& capture, Announcements& announcements, PodChannel channel,
                     Options options)
    : loop_(loop),
      capture_(capture),
      announcements_(announcements),
      channel_(std::move(channel)),
      options_(std::move(options)) {
  check_timer_ = loop_.after(options_.netns_check, [this] { check_namespaces(); });
}

Enrolment::~Enrolment() {
  loop_.cancel(check_timer_);
  for (const auto& [uid, timer] : orphans_) loop_.cancel(timer);
  for (auto& [uid, pod] : pods_) {
    loop_.cancel(pod.timer);
    loop_.cancel(pod.release_timer);
  }
}

void Enrolment::start_timer(Pod& pod, std::chrono::milliseconds delay, void (Enrolment::*then)(Pod&)) {
  loop_.cancel(pod.timer);
  pod.timer = loop_.after(delay, [this, uid = pod.spec.uid, then] {
    const auto found = pods_.find(uid);
    if (found == pods_.end()) return;
    found->second.timer = 0;
    (this->*then)(found->second);
  });
}

// Pods that an earlier agent captured are captured still; only what this process lacks is fetched.
void Enrolment::adopt_known() {
  for (const auto& known : capture_.known_pods()) {
    Pod& pod = pods_[known.spec.uid];
    pod.spec.uid = known.spec.uid;
    pod.spec.name = {"", known.spec.uid};  // until its object is read
    pod.spec.addresses = known.spec.addresses;
    pod.spec.netns = known.spec.netns_path.filename().string();
    pod.spec.cgroup_uid = known.spec.uid;
    pod.netns_path = known.spec.netns_path;
    pod.prepared = true;
    pod.armed = known.armed || known.by_other;
    pod.has_listeners = known.has_listeners;
    pod.announced = pod.told = announcements_.uids().contains(known.spec.uid);
    pod.state = PodState::adopting;
    if (known.armed) verify(pod);  // what another schema's programs have is ours to take over, not to mend
    // Mended with new ones, as nobody had the old any more: then there is nothing to wait for.
    if (!pod.has_listeners) pod.has_listeners = capture_.listeners(known.spec.uid).has_value();
    start_timer(pod, options_.adoption_wait, &Enrolment::enrol);
  }
}

void Enrolment::set_wanted(const std::vector<LocalPodSpec>& wanted, const std::set<std::string>& alive) {
  const bool first = !std::exchange(adopted_, true);
  if (first) adopt_known();
  std::set<std::string> uids;
  for (const auto& spec : wanted) {
    uids.insert(spec.uid);
    const auto [entry, is_new] = pods_.try_emplace(spec.uid);
    Pod& pod = entry->second;
    if (is_new) {
      pod.spec = spec;
      pod.at_start = first;
      enrol(pod);
    } else {
      update(pod, spec);
    }
  }
  for (auto next = pods_.begin(); next != pods_.end();) {
    auto& [uid, pod] = *next++;  // leave() may erase it
    if (pod.wanted && !uids.contains(uid)) leave(pod, !alive.contains(uid));
  }
  if (!first) return;
  take_early();
  for (const auto& uid : announcements_.own()) {
    if (pods_.contains(uid)) continue;
    log::warn("pod {}: an earlier agent's announcement is withdrawn, its capture is gone", uid);
    withdraw_orphan(uid);
  }
}

// Listeners that a proxy gave back before anything was known of pods.
void Enrolment::take_early() {
  for (auto& given : std::exchange(early_, {})) old_listeners(std::move(given));
  if (early_gone_) proxy_gone();
}

// The wanted form of a pod that is known already.
void Enrolment::update(Pod& pod, const LocalPodSpec& spec) {
  const LocalPodSpec old = std::exchange(pod.spec, spec);
  const bool returns = !std::exchange(pod.wanted, true);
  if (returns) {
    // Labelled again. Not yet disarmed: as if nothing had been. Draining: enrolled anew when the proxy has let go,
    // which must not take a drain's time.
    if (pod.state == PodState::leaving) {
      loop_.cancel(std::exchange(pod.timer, 0));
      pod.state = PodState::captured;
      if (pod.netns == NamespaceId{})
        return enrol(pod);  // an earlier agent's, which this one has not looked at
      announce(pod);
    } else if (pod.state == PodState::draining) {
      start_timer(pod, std::chrono::seconds(2), &Enrolment::finish_draining);
    }
    return;
  }
  if (pod.state == PodState::adopting || pod.state == PodState::draining) return;
  if (pod.state == PodState::waiting) {
    if (old != spec) enrol(pod);
    return;
  }
  if (old.netns != spec.netns) {
    withdraw(pod);
    withdraw_from_proxy(pod, true);
    enrol(pod);
  } else if (old.identity != spec.identity) {
    // The same pod under another name: it stays captured, the proxy forgets it and learns it anew.
    withdraw_from_proxy(pod, true);
    enrol(pod);
  } else if (old.addresses != spec.addresses || old.name != spec.name) {
    enrol(pod);
  }
  if (pod.armed && spec.guarded && !old.guarded) {
    const auto ended = capture_.destroy_old_connections(spec.uid);
    if (!ended) log::error("pod {}: {}", spec.name.text(), ended.error().describe());
  }
}

void Enrolment::retry_later(Pod& pod, std::string why) {
  if (pod.error != why) log::warn("pod {}: {}", pod.spec.name.text(), why);
  pod.error = std::move(why);
  pod.state = PodState::waiting;
  const auto delay = std::min(kRetryFirst * (1u << std::min(pod.tries, 6u)), kEnrolRetryMax);
  ++pod.tries;
  start_timer(pod, delay, &Enrolment::enrol);
  if (options_.changed) options_.changed(pod.spec.uid);
}

// Brings a pod as far towards captured as it will go now. Idempotent; called again for whatever changes.
void Enrolment::enrol(Pod& pod) {
  if (!pod.wanted) return leave(pod, pod.removed);
  const auto found = options_.find_netns(pod.spec, pod.netns_path);
  pod.refused = !found && found.error().reason == Reason::bad_config;
  if (!found)
    return retry_later(pod, found.error().detail ? *found.error().detail : found.error().describe());
  if (auto ok = capture_.prepare({pod.spec.uid, found->path, pod.spec.addresses, found->fd.get()}); !ok) {
    return retry_later(pod, ok.error().describe());
  }
  pod.netns_path = found->path;
  pod.by_file = found->by_file;
  pod.prepared = true;
  // Listeners that live on in a proxy which did not give them back are no use: nobody could hand them on.
  if (!capture_.listeners(pod.spec.uid)) {
    if (auto ok = capture_.reopen_listeners(pod.spec.uid); !ok)
      return retry_later(pod, ok.error().describe());
  }
  if (pod.netns != NamespaceId{} && pod.netns != found->id) pod.armed = false;
  pod.netns = found->id;
  if (!pod.armed) {
    pod.found = found->starting ? FoundAs::starting : pod.at_start ? FoundAs::uncaptured : FoundAs::running;
    pod.bypassed = !found->starting;
  }
  pod.has_listeners = true;
  if (!pod.offered) offer(pod);
  if (!pod.armed && pod.offered && !pod.accepting) {
    pod.state = PodState::offering;
    return start_timer(pod, options_.accept_wait, &Enrolment::arm);
  }
  arm(pod);
}

Result<PodDescriptors> Enrolment::descriptors(const Pod& pod) const {
  const auto listeners = capture_.listeners(pod.spec.uid);
  if (!listeners) return std::unexpected(listeners.error());
  PodDescriptors descriptors{
      pod.spec.uid,       pod.spec.identity, listeners->netns_fd,       listeners->outbound,
      listeners->inbound, listeners->port,   limits::kernel_port_first, limits::kernel_port_last};
  if (const auto range = local_port_range(listeners->netns_fd)) {
    descriptors.local_port_first = range->first;
    descriptors.local_port_last = range->second;
  }
  return descriptors;
}

// Hands the pod to the proxy, if there is one. Whether it went.
bool Enrolment::offer(Pod& pod) {
  if (!channel_.connected() || pod.release_pending || !pod.has_listeners) return false;
  const auto what = descriptors(pod);
  if (!what) {
    pod.error = what.error().describe();
    log::error("pod {}: {}", pod.spec.name.text(), pod.error);
    return false;
  }
  pod.offered = channel_.offer(*what);
  pod.accepting = false;
  return pod.offered;
}

void Enrolment::arm(Pod& pod) {
  loop_.cancel(std::exchange(pod.timer, 0));
  if (!pod.wanted) return leave(pod, pod.removed);
  const bool was_armed = pod.armed;
  if (auto ok = capture_.arm(pod.spec.uid); !ok) return retry_later(pod, ok.error().describe());
  pod.armed = true;
  if (!was_armed) {
    log::info("pod {}: captured{}", pod.spec.name.text(),
              pod.accepting ? "" : ", before a proxy accepts for it");
  }
  if (!was_armed || pod.bypassed) settle_older(pod);
  pod.state = PodState::captured;
  pod.tries = 0;
  pod.error.clear();
  pod.at_start = false;  // whatever comes now is news
  announce(pod);
  if (options_.changed) options_.changed(pod.spec.uid);
}

void Enrolment::proxy_synced(const std::function<bool(const PodDescriptors&)>& to_it) {
  for (auto& [uid, pod] : pods_) {
    if (pod.state == PodState::adopting) {
      // What that proxy had of it has been given back. Another may have it, and be on its way back too: waited for.
      if (pod.has_listeners || !capture_.served(uid)) enrol(pod);
    } else if (pod.state == PodState::captured || pod.state == PodState::offering) {
      if (!pod.offered) {
        offer(pod);
      } else if (const auto what = descriptors(pod); what && pod.has_listeners) {
        to_it(*what);  // what it has already it knows by its uid
      }
    }
  }
}

void Enrolment::old_listeners(GivenBack given) {
  if (!adopted_) {
    early_.push_back(std::move(given));
    early_gone_ = false;
    return;
  }
  const auto found = pods_.find(given.uid);
  if (found == pods_.end()) {
    channel_.gone(given.uid, true);
    return;
  }
  Pod& pod = found->second;
  if (!pod.wanted) {
    pod.offered = true;  // the proxy has it: disarming will tell it
    if (pod.state == PodState::draining) channel_.gone(given.uid, pod.removed);
    return;
  }
  if (!pod.has_listeners) {
    const auto adopted =
        capture_.adopt_listeners(given.uid, release_all(given.outbound), release_all(given.inbound));
    if (!adopted) {
      log::error("pod {}: its listeners are opened anew: {}", pod.spec.name.text(),
                 adopted.error().describe());
      pod.offered = true;
      return withdraw_from_proxy(pod, true);
    }
    pod.has_listeners = pod.offered = pod.accepting = true;
    if (pod.state == PodState::adopting) enrol(pod);
    return;
  }
  const auto ours = capture_.listeners(given.uid);
  const bool same =
      ours && !ours->outbound.empty() && same_socket(ours->outbound[0], given.outbound[0].get());
  if (same) {
    pod.offered = pod.accepting = true;
    return;
  }
  // It came back too late: connections go to new listeners by now. It must let go of the old before it takes those.
  log::warn("pod {}: the proxy came back with listeners that were replaced meanwhile", pod.spec.name.text());
  pod.offered = true;
  withdraw_from_proxy(pod, true);
}

void Enrolment::accepting(const std::string& uid) {
  const auto found = pods_.find(uid);
  if (found == pods_.end() || !found->second.offered) return;
  found->second.accepting = true;
  if (found->second.state == PodState::offering) arm(found->second);
}

void Enrolment::retry_waiting() {
  for (auto& [uid, pod] : pods_) {
    if (pod.state == PodState::waiting) enrol(pod);
  }
}

std::vector<PodStatus> Enrolment::status() const {
  std::vector<PodStatus> out;
  out.reserve(pods_.size());
  for (const auto& [uid, pod] : pods_) out.push_back(status_of(pod));
  return out;
}

std::optional<PodStatus> Enrolment::status_of(const std::string& uid) const {
  const auto found = pods_.find(uid);
  return found == pods_.end() ? std::nullopt : std::optional(status_of(found->second));
}

PodStatus Enrolment::status_of(const Pod& pod) {
  return {pod.spec,  pod.state,      pod.armed, pod.announced, pod.accepting,   pod.refused,
          pod.error, pod.netns_path, pod.netns, pod.found,     pod.older_ended, pod.older_left};
}

bool Enrolment::has_identity(const std::string& identity) const {
  return std::ranges::any_of(pods_,
                             [&](const auto& entry) { return entry.second.spec.identity == identity; });
}

bool Enrolment::captures() const {
  return std::ranges::any_of(pods_, [](const auto& entry) { return entry.second.armed; });
}

bool Enrolment::held_by_proxies() const {
  return std::ranges::all_of(pods_,
                             [](const auto& entry) { return !entry.second.armed || entry.second.accepting; });
}

bool Enrolment::settled() const {
  return adopted_ && channel_.connected() && std::ranges::all_of(pods_, [](const auto& entry) {
           const Pod& pod = entry.second;
           return !pod.wanted || (pod.state == PodState::captured && pod.accepting);
         });
}

}  // namespace weir::agent

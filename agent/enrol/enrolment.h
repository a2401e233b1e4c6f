#pragma once
// Every pod of this node that is, should be or was in the mesh, and the steps it takes:
//
//   waiting ──prepare──▶ offering ──proxy accepts, or no proxy──▶ arm ──▶ captured (announced)
//      ▲ retry with back-off             captured ──▶ leaving ──grace──▶ disarm ──▶ draining ──released──▶ removed
//   adopting: captured by an earlier agent; its listeners are being asked back from the running proxy
//
// Announced last, withdrawn first. Without a proxy a pod is armed all the same: fail closed, connections wait in the
// listeners' queues. Nothing here ever takes capture away from a pod that is wanted.
// Owner: the app. Thread: the loop's. Lifetime: destroying it leaves every pod as it is.
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "agent/derive/derive.h"
#include "agent/enrol/announcements.h"
#include "agent/enrol/capture.h"
#include "agent/enrol/netns_finder.h"
#include "agent/loop/loop.h"
#include "agent/serve/proxy_link.h"

namespace weir::agent {

enum class PodState { waiting, adopting, offering, captured, leaving, draining };
inline constexpr PodState kPodStates[] = {PodState::waiting,  PodState::adopting, PodState::offering,
                                          PodState::captured, PodState::leaving,  PodState::draining};
const char* label(PodState state);

// The way to the proxy, or to both while one replaces the other.
struct PodChannel {
  std::function<bool()> connected;  // synced: it may be offered pods
  std::function<bool(const PodDescriptors&)> offer;
  std::function<bool(const std::string& uid, bool removed)> gone;
};

// How a pod was found when this agent came to capture it.
enum class FoundAs {
  unknown,     // not yet captured
  starting,    // by the CNI plugin, before it had a process
  running,     // enrolled while it ran
  uncaptured,  // it was enrolled and running when this agent started, and nobody had captured it
  whole,       // captured by an earlier agent, and verified
  broken,      // captured by an earlier agent, with something missing, which was mended
};
const char* label(FoundAs found);

struct PodStatus {
  LocalPodSpec spec;
  PodState state = PodState::waiting;
  bool armed = false, announced = false, accepting = false;
  bool refused = false;  // it cannot be captured at all: error says why
  std::string error;     // of the last try; empty: none
  std::filesystem::path netns_path;
  NamespaceId netns{};
  FoundAs found = FoundAs::unknown;
  uint64_t older_ended = 0, older_left = 0;  // connections that were there before it was captured
};

inline constexpr std::chrono::milliseconds kEnrolRetryMax{5000};

class Enrolment {
 public:
  struct Options {
    std::function<Result<FoundNetns>(const LocalPodSpec&, const std::filesystem::path& known)> find_netns;
    std::function<void(const std::string& uid)>
        changed;  // captured, announced, or a try failed; may be empty
    std::function<void(FoundAs, uint64_t older_ended, uint64_t older_left)>
        found;                                      // once a capture; the same
    std::chrono::milliseconds adoption_wait{3000};  // for the running proxy to give listeners back
    std::chrono::milliseconds accept_wait{5000};    // offered → PodAccepting
    std::chrono::milliseconds grace{1000};          // withdrawn → disarmed: peers see it
    std::chrono::milliseconds drain_wait{35000};    // LocalPodGone → PodReleased, unenrolled (proxy: 30 s)
    std::chrono::milliseconds removed_wait{6000};   // the same, pod removed (proxy: 5 s)
    std::chrono::milliseconds netns_check{1000};
  };

  Enrolment(Loop& loop, Capture& capture, Announcements& announcements, PodChannel channel, Options options);
  ~Enrolment();
  Enrolment(const Enrolment&) = delete;
  Enrolment& operator=(const Enrolment&) = delete;

  // `wanted`: pods to enrol; `alive`: uids of this node's pods that exist, wanted or not. The first call also takes
  // over what an earlier agent left.
  void set_wanted(const std::vector<LocalPodSpec>& wanted, const std::set<std::string>& alive);
  // A proxy has its configuration. `offer`: to it alone, where another has the pods already.
  void proxy_synced(const std::function<bool(const PodDescriptors&)>& offer);
  void proxy_gone();  // and no other is there
  void old_listeners(GivenBack given);
  void accepting(const std::string& uid);
  void released(const std::string& uid);
  // A namespace may have come: pods that wait are tried again now.
  void retry_waiting();
  // The pod's namespace may be another now.
  void recheck(const std::string& uid);

  std::vector<PodStatus> status() const;
  std::optional<PodStatus> status_of(const std::string& uid) const;
  // Whether a proxy may have a certificate of this identity: some pod here, in whatever state, bears it.
  bool has_identity(const std::string& identity) const;
  // A proxy is connected and accepts for every pod, and no pod waits.
  bool settled() const;
  // Some pod is captured: without listeners, which this process may be the last to hold, it could only be refused.
  bool captures() const;
  // Every captured pod's listeners are held by a proxy, too, which gives them back to the next agent.
  bool held_by_proxies() const;

 private:
  struct Pod {
    LocalPodSpec spec;
    PodState state = PodState::waiting;
    std::string error;
    bool wanted = true;
    bool removed = false;   // leaves because it is gone, not because it was unlabelled
    bool prepared = false;  // capture knows of it
    bool has_listeners = false, armed = false, announced = false;
    bool told =
        false;  // the announcement may be seen: what was, or may have been, written is not withdrawn yet
    uint64_t last_word = 0;  // to announcements_: what is said of an earlier one is no news
    bool offered = false, accepting = false;
    bool release_pending = false;  // the proxy still closes an earlier life of this uid
    unsigned tries = 0;
    NamespaceId netns{};
    std::filesystem::path netns_path;
    bool by_file = false;  // the end of that path is the end of the namespace
    bool refused = false;
    bool at_start = false;  // wanted when this agent first looked
    bool bypassed = false;  // captured, but not wholly: connections may have gone past the proxy
    FoundAs found = FoundAs::unknown;
    uint64_t older_ended = 0, older_left = 0;
    Loop::TimerId timer = 0, release_timer = 0;
  };

  void adopt_known();
  void take_early();
  void update(Pod& pod, const LocalPodSpec& spec);
  void enrol(Pod& pod);
  void retry_later(Pod& pod, std::string why);
  Result<PodDescriptors> descriptors(const Pod& pod) const;
  bool offer(Pod& pod);
  void arm(Pod& pod);
  void announce(Pod& pod);
  void withdraw(Pod& pod);
  void withdraw_orphan(const std::string& uid);
  void withdraw_from_proxy(Pod& pod, bool removed);
  void leave(Pod& pod, bool removed);
  void leave_again(Pod& pod);
  void disarm_and_drain(Pod& pod);
  void finish_draining(Pod& pod);
  void check_namespaces();
  void check_namespace(Pod& pod, bool look);
  void verify(Pod& pod);
  void settle_older(Pod& pod);
  static PodStatus status_of(const Pod& pod);
  void start_timer(Pod& pod, std::chrono::milliseconds delay, void (Enrolment::*then)(Pod&));

  Loop& loop_;
  Capture& capture_;
  Announcements& announcements_;
  PodChannel channel_;
  Options options_;
  std::map<std::string, Pod> pods_;
  bool adopted_ = false;
  // Given back before adopted_, as a proxy is sooner back than the API server's lists; and whether that proxy has gone since.
  std::vector<GivenBack> early_;
  bool early_gone_ = false;
  std::map<std::string, Loop::TimerId> orphans_;  // uids announced by an earlier agent, that are no pods here
  Loop::TimerId check_timer_ = 0;
};

}  // namespace weir::agent

#pragma once
// The agent's side of the CNI plugin: decides for each starting pod whether it may start, and keeps what the plugin
// needs when no agent runs.
//
//   asked ──pod and namespace known?──▶ enrolled? ──yes──▶ told to derive and enrolment ──▶ captured: answered
//            │ waits for the source        └─no: not_enrolled                └─ refused for good: answered at once
//            └─ time over: "try again"; without the source only in enrolled namespaces
//
// Concept: whether a pod is enrolled is said by its object's and its namespace's labels, as everywhere; how it is
// captured is Enrolment's affair, and this only hands it the namespace and waits. Questions are looked at again whenever
// objects or enrolment changed. A captured pod may start before its proxy accepts: its connections wait, none passes by. It
// starts once it is announced, as peers would else dial it in plaintext as soon as it is ready; but not if that failed:
// without the API server nobody learns of the pod at all.
// Owner: the app. Thread: the loop's. Lifetime: ends before Enrolment and the finder.
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "agent/enrol/cni_server.h"
#include "agent/enrol/enrolment.h"
#include "agent/enrol/netns_finder.h"
#include "agent/enrol/starting.h"
#include "agent/loop/loop.h"

namespace weir::agent {

class Cni {
 public:
  struct Options {
    std::string socket;                   // empty: no plugin asks
    std::filesystem::path enrolled_file;  // STATE/enrolled-namespaces
    std::string node;
    std::chrono::milliseconds seen_wait{5000};  // for a pod that the source has not seen
  };
  struct Hooks {
    std::function<const Objects&()> objects;
    std::function<bool()> source_connected;  // what it has not seen will come
    std::function<void()> derive;            // again, now: addresses have come
    std::function<std::optional<PodStatus>(const std::string& uid)> pod;
    std::function<void(const std::string& uid)> recheck;  // its namespace is another now
    std::function<void(const char* verdict)> answered;    // for metrics
  };

  Cni(Loop& loop, NetnsFinder& finder, Options options, Hooks hooks);
  ~Cni();
  Cni(const Cni&) = delete;
  Cni& operator=(const Cni&) = delete;
  Status listen();

  // For derive().
  const StandInAddresses& addresses() const { return starting_.addresses(); }
  // Before the first derivation: pods that an earlier agent captured at their start, and that start still.
  void remember(const std::vector<KnownPod>& captured) { starting_.remember(captured, hooks_.objects()); }
  // Before deriving from objects that changed.
  void settle(const Objects& objects);
  // After it: the list on disk, and the questions that wait for news. The source must have seen everything once.
  void objects_changed(const Objects& objects);
  // A pod was captured, or a try failed.
  void enrolment_changed();

  // The list is on disk, and says what the source does.
  bool listed() const { return listed_.has_value(); }
  size_t waiting() const { return asked_.size(); }
  const std::string& file_error() const { return file_error_; }

  // Namespaces of which some pod may be enrolled: by their own label, or by that of a pod.
  static std::set<std::string> enrolled_namespaces(const Objects& objects);

 private:
  struct Asked {
    cni::Question question;
    std::string uid;         // of its object, once enrolment was told
    bool told = false;       // enrolment knows of it
    bool seen_over = false;  // the time for the source to see it is over
    Loop::TimerId timer = 0;
  };

  void asked(CniServer::Id id, const cni::Question& question);
  void removed(const cni::Question& question);
  void look(CniServer::Id id);
  void look_at_all();
  void judge_unseen(CniServer::Id id, Asked& one);
  void start(Asked& one, const Pod& pod);
  void answer(CniServer::Id id, cni::Verdict verdict, bool again, std::string message);
  void forget(CniServer::Id id);
  void write_list(const Objects& objects);

  Loop& loop_;
  NetnsFinder& finder_;
  const Options options_;
  const Hooks hooks_;
  StartingPods starting_;
  std::map<CniServer::Id, Asked> asked_;
  std::optional<std::set<std::string>> listed_;  // what the file says, as far as known
  std::string file_error_;
  Loop::TimerId look_timer_ = 0, file_timer_ = 0;
  std::unique_ptr<CniServer> server_;
};

}  // namespace weir::agent

#pragma once
// The leader's second work: what became of routes and policies, written to their status.
//
//   watches ─▶ objects (the agents' readers) ─▶ derive (the agents') ─▶ notes, verdicts ─▶ conditions ─▶ patches
//
// Concept: whatever changes, everything is judged again a moment later, and only what differs is patched, with the
// resourceVersion that was judged, so that nobody's writing is lost; who was overtaken is told by the watch and judges
// again. Nothing is judged before everything has been read once: "not received yet" is not "there is none".
// Owner: the app, while this replica leads. Thread: the loop's. Lifetime: destroying it ends watches; patches under way
// end without a word.
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "agent/controller/api.h"
#include "agent/controller/conditions.h"
#include "agent/kube/resources.h"
#include "agent/metrics.h"
#include "agent/model/objects.h"

namespace weir::agent::controller {

class StatusKeeper {
 public:
  struct Options {
    std::string trust_domain;
    std::chrono::milliseconds coalesce{100}, retry{2000};
    size_t patches_at_once = 8;
    kube::Reflector::Options reflector{};
  };

  StatusKeeper(Loop& loop, kube::Client& client, Ask ask, Metrics& metrics, Options options);
  ~StatusKeeper();
  StatusKeeper(const StatusKeeper&) = delete;
  StatusKeeper& operator=(const StatusKeeper&) = delete;

 private:
  // An object that has a status of ours, as the API server has it, without what is not needed.
  struct Judged {
    size_t kind = 0;
    nlohmann::json object;
    std::string refused;
    bool patching = false;
  };

  void changed(const kube::WatchedKind& kind, const nlohmann::json& object);
  void gone(const kube::WatchedKind& kind, const ObjectName& name);
  void read(const kube::WatchedKind& kind, const nlohmann::json& object, Judged* judged);
  void later(std::chrono::milliseconds delay);
  void judge();
  void derive_again();
  void patch(const std::string& key, Judged& judged, const nlohmann::json& status);
  void count(const std::map<std::pair<std::string, std::string>, size_t>& words);

  Loop& loop_;
  const Ask ask_;
  Metrics& metrics_;
  const Options options_;
  const std::vector<kube::WatchedKind> kinds_;
  std::vector<std::unique_ptr<kube::Reflector>> reflectors_;
  Objects objects_;
  std::map<std::string, Judged> judged_;  // "HTTPRoute shop/web" →
  std::map<std::string, Said> said_;      // by the last derivation
  bool derived_ = false;                  // said_ is true of objects_
  size_t patching_ = 0;
  Loop::TimerId timer_ = 0;
  std::shared_ptr<bool> alive_;
};

}  // namespace weir::agent::controller

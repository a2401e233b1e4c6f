#pragma once
// The mesh's root in the cluster: Secret weir-system/weir-ca, who may sign, and ConfigMap weir-ca-root, whom to trust.
//
// Concept: every replica reads both every few seconds and signs with what it read; only the leader writes. It makes the
// Secret where there is none (`create`, so that of two who believe to lead one fails), never touches one that is there,
// and publishes the roots, each writing guarded by the resourceVersion that was read. A Secret that somebody else
// writes, a user or cert-manager, is followed: first its root is published, and once it has been for `signing_delay`, it
// signs; until then whoever still has the old key signs with that. Of a Secret that is broken nothing is taken.
// Owner: the app, which calls tick(). Thread: the loop's. Lifetime: outlives what it asked.
#include <cstdint>
#include <functional>
#include <list>
#include <string>

#include "agent/controller/api.h"
#include "agent/controller/published.h"

namespace weir::agent::controller {

class RootKeeper {
 public:
  struct Options {
    bool make_root = true;  // else: wait for a Secret that somebody brings
    std::chrono::seconds overlap{48 * 3600}, signing_delay{30};
    std::string made_by;  // for who looks at the Secret
  };
  struct World {
    Ask ask;
    std::function<int64_t()> unix_now;
    std::function<bool()> leads;
    std::function<void()> changed;  // bundle() or signing() may be others now
  };

  RootKeeper(Options options, World world) : options_(std::move(options)), world_(std::move(world)) {}
  RootKeeper(const RootKeeper&) = delete;
  RootKeeper& operator=(const RootKeeper&) = delete;

  void tick();

  const Published& published() const { return published_; }
  const Authority* signing() const;                        // null: nobody may sign yet
  const std::string& trouble() const { return trouble_; }  // of the last tick; empty: none

 private:
  void read_secret(const Result<kube::Answer>& answer);
  Status take_secret(const std::string& body);
  void make_secret();
  void ask_for_published();
  void read_config_map(const Result<kube::Answer>& answer);
  void publish(bool anyhow);
  void end(std::string trouble);

  const Options options_;
  const World world_;
  bool under_way_ = false;
  std::string secret_version_;
  std::list<Authority> held_;  // the newest last; older ones while their roots are trusted
  Published published_;
  std::string trouble_, secret_trouble_, signing_id_;
  uint64_t told_version_ = 0;
};

}  // namespace weir::agent::controller

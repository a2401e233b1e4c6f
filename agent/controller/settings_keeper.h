#pragma once
// What the controller needs of the mesh's settings, ConfigMap weir-system/weir, which the agents follow: the trust domain.
//
// Concept: every replica reads them at each tick. Where there is no ConfigMap, or it names no domain, the command line's
// counts, as it does with the agents. Until that is known nothing is: nobody is signed for. What cannot be read later, or is
// refused by the agents' reader, leaves what was, with a word in the log.
// Owner: the app, which calls tick(). Thread: the loop's. Lifetime: outlives what it asked.
#include <functional>
#include <string>

#include "agent/controller/api.h"

namespace weir::agent::controller {

class SettingsKeeper {
 public:
  // `fallback`: the command line's. `changed`: the trust domain is known, or is another.
  SettingsKeeper(std::string fallback, Ask ask, std::function<void()> changed)
      : fallback_(std::move(fallback)), ask_(std::move(ask)), changed_(std::move(changed)) {}
  SettingsKeeper(const SettingsKeeper&) = delete;
  SettingsKeeper& operator=(const SettingsKeeper&) = delete;

  void tick();
  const std::string& trust_domain() const { return trust_domain_; }  // empty: not known yet
  const std::string& trouble() const { return trouble_; }            // of the last tick; empty: none

 private:
  Result<std::string> read(const Result<kube::Answer>& answer) const;

  const std::string fallback_;
  const Ask ask_;
  const std::function<void()> changed_;
  bool under_way_ = false;
  std::string trust_domain_, trouble_;
};

}  // namespace weir::agent::controller

#pragma once
// The API server as a source of objects: one reflector for each kind, and what came of all of them.
//
// Concept: an object that is refused keeps its last good form, if it is still the same object; a policy that never had
// one counts as invalid (api.md "never accepted still counts"). Changes are told a little later, so that a burst is one; the
// longer it takes to tell of them, the longer, so that a cluster that never rests costs a quarter of a core at most.
// Without the API server everything stays as it was.
// Owner: the app, or a command. Thread: the loop's. Lifetime: within the client's.
#include <memory>
#include <vector>

#include "agent/files/parse.h"
#include "agent/kube/reflector.h"
#include "agent/kube/resources.h"
#include "agent/model/source.h"

namespace weir::agent::kube {

class Source final : public ObjectSource {
 public:
  struct Options {
    Reflector::Options reflector;
    std::chrono::milliseconds coalesce{20}, coalesce_max{400};
    std::vector<WatchedKind> kinds = watched_kinds();
  };

  Source(Loop& loop, Client& client, Options options);
  ~Source() override;

  void start(std::function<void()> changed) override;
  std::string not_synced() const override;
  const Objects& objects() const override { return objects_; }
  std::vector<SourceError> errors() const override;
  std::string describe() const override { return client_.options().server; }
  std::string status_json() const override;
  void tell_metrics(const SetMetric& set) const override;

  // Every kind has its watch open, or is known not to be installed.
  bool connected() const override;

 private:
  void changed(size_t kind, const nlohmann::json& object);
  void gone(size_t kind, const ObjectName& name);
  void tell_later();

  Loop& loop_;
  Client& client_;
  const Options options_;
  std::vector<std::unique_ptr<Reflector>> reflectors_;
  Objects objects_;
  std::map<std::pair<size_t, ObjectName>, SourceError> refused_;
  std::set<std::pair<size_t, ObjectName>> never_accepted_;  // policies that stand in as invalid
  std::function<void()> changed_;
  Loop::TimerId timer_ = 0;
  std::chrono::milliseconds took_{0};  // the last telling
};

}  // namespace weir::agent::kube

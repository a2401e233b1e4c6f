#pragma once
// What one proxy has, and what to send next: full state first, then only differences, one update in flight.
//
// Concept: an update is applied whole or refused whole with the object at fault. That object is put in quarantine, and
// stands in with its last good form, or, for a policy or a table of routes that was never accepted, as `invalid` (the
// policy's Allow matches nothing, its Deny everything; the table's requests are answered 500), or is left out; then the
// rest is sent again. So one tenant cannot freeze a node, and nothing gets through because it is unreadable. Quarantine
// ends when the object itself changes, or with a new proxy.
// Owner: ProxyLink. Thread: one; pure, no socket.
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "agent/derive/resources.h"

namespace weir::mesh::v1 {
class Ack;
}

namespace weir::agent {

class Sync {
 public:
  enum class StandIn { last_good, invalid, left_out };
  struct Quarantined {
    std::string refused;  // bytes of the wanted form that was refused
    StandIn stand_in = StandIn::last_good;
    std::string error;
  };
  struct Outcome {
    bool applied = false;
    bool first = false;  // of this proxy
    std::optional<ResourceId> quarantined;
    std::string error;  // when refused
  };

  // `last_good`: forms that an earlier proxy applied. `version_floor`: every version is higher.
  Sync(std::shared_ptr<const Resources> last_good, uint64_t version_floor);

  void want(std::shared_ptr<const Resources> wanted);
  // Bytes of the next mesh.v1.FromAgent with an Update; nothing: up to date, or one is in flight.
  std::optional<std::string> next();
  Outcome acked(const mesh::v1::Ack& ack);

  bool synced() const { return has_ != nullptr; }  // something was applied
  uint64_t sent_version() const { return version_; }
  uint64_t applied_version() const { return applied_version_; }
  const std::shared_ptr<const Resources>& last_good() const { return has_ ? has_ : last_good_; }
  const std::map<ResourceId, Quarantined>& quarantine() const { return quarantine_; }

 private:
  std::shared_ptr<const Resources> effective() const;
  std::optional<std::string> stand_in(const ResourceId& id, const Quarantined& entry) const;
  bool put_in_quarantine(const ResourceId& id, const std::string& error);

  std::shared_ptr<const Resources> last_good_;
  std::shared_ptr<const Resources> wanted_;
  std::shared_ptr<const Resources> has_;        // applied by this proxy; null: nothing yet
  std::shared_ptr<const Resources> in_flight_;  // null: none
  std::map<ResourceId, Quarantined> quarantine_;
  uint64_t version_;
  uint64_t applied_version_ = 0;
  bool stuck_ = false;  // refused without an object we know: wait for a change
};

}  // namespace weir::agent

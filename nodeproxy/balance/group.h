#pragma once
// One service as one kind of client sees it: a port, a family, and the client's node and zone; with everything a worker
// remembers about balancing there. Endpoints are judged per group, not per pod: what a pod's metrics port does says
// nothing of its application's.
// Owner: Groups. Thread: its worker's. Lifetime: from the first pick until long unused, and while a lease is out.
#include <cstdint>
#include <string>
#include <string_view>

#include "nodeproxy/balance/eligible.h"
#include "nodeproxy/balance/members.h"
#include "nodeproxy/balance/outliers.h"

namespace weir::balance {

struct GroupKeyView {
  std::string_view service, node, zone;
  uint16_t port = 0;
  bool v4 = true;

  bool operator==(const GroupKeyView&) const = default;
};

struct GroupKey {
  std::string service, node, zone;
  uint16_t port = 0;
  bool v4 = true;

  explicit GroupKey(const GroupKeyView& from)
      : service(from.service), node(from.node), zone(from.zone), port(from.port), v4(from.v4) {}
  GroupKeyView view() const { return {service, node, zone, port, v4}; }
};

class Group {
 public:
  // `first_turn` below 2^32, so that a turn times a stride does not overflow.
  Group(const GroupKeyView& key, uint64_t first_turn, Ejections& ejections)
      : key_(key), turn_(first_turn), outliers_(ejections) {}
  Group(const Group&) = delete;
  Group& operator=(const Group&) = delete;

  // The list for a pick, built anew where it must be.
  const Eligible& refresh(const Request& request, const std::string& port_name);

  void begin(Member& member, TimePoint now);
  void end(Member& member);
  void outcome(Member& member, const Outcome& outcome, TimePoint now);

  const GroupKey& key() const { return key_; }
  Members& members() { return members_; }
  const Members& members() const { return members_; }
  const Outliers& outliers() const { return outliers_; }
  Eligible& eligible() { return eligible_; }
  const Eligible& eligible() const { return eligible_; }
  uint64_t picks() const { return picks_; }
  uint64_t next_turn() { return turn_++; }
  TimePoint used() const { return used_; }
  bool leased() const { return leases_ > 0; }

 private:
  GroupKey key_;
  uint64_t picks_ = 0, turn_ = 0;
  uint32_t leases_ = 0;
  TimePoint used_;
  Members members_;
  Outliers outliers_;
  Eligible eligible_;
};

}  // namespace weir::balance

#pragma once
// All groups of a worker, bounded: those long unused are forgotten, and when there are too many groups, endpoints or bytes
// of hash tables, so are those used least recently. Nothing but the cost of a new list is lost with a group.
// Owner: State. Thread: its worker's. Lifetime: a Group stays while it is leased, and for a while after each pick.
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>

#include "nodeproxy/balance/group.h"
#include "nodeproxy/balance/random.h"

namespace weir::balance {

// By service, since the start: what Prometheus counts must not go down when a group is forgotten.
using ServiceEjections = std::map<std::string, Ejections, std::less<>>;

class Groups {
 public:
  struct Limits {
    size_t groups_max = 16'384;
    size_t members_max = 262'144;
    size_t table_bytes_max = 64 << 20;
    std::chrono::nanoseconds idle = std::chrono::minutes(10);
  };

  explicit Groups(const Limits& limits) : limits_(limits) {}

  // The request's group, made if there is none, with its list ready: use group.eligible().
  Group& refresh(const Request& request, const std::string& port_name, Random& random);

  template <typename Visit>
  void for_each(Visit&& visit) const {
    for (const auto& [key, group] : groups_) visit(group);
  }
  const ServiceEjections& ejections() const { return ejections_; }
  size_t size() const { return groups_.size(); }
  size_t members() const { return members_; }
  size_t table_bytes() const { return table_bytes_; }

 private:
  struct Hash {
    using is_transparent = void;
    size_t operator()(const GroupKeyView& key) const;
    size_t operator()(const GroupKey& key) const { return operator()(key.view()); }
  };
  struct Equal {
    using is_transparent = void;
    bool operator()(const GroupKey& a, const GroupKey& b) const { return a.view() == b.view(); }
    bool operator()(const GroupKey& a, const GroupKeyView& b) const { return a.view() == b; }
    bool operator()(const GroupKeyView& a, const GroupKey& b) const { return a == b.view(); }
  };

  Ejections& ejections_of(std::string_view service);
  void forget_idle(TimePoint now);
  bool within(size_t eighths) const;  // of every limit
  void make_room(TimePoint now);
  void recount();

  Limits limits_;
  ServiceEjections ejections_;  // before the groups, which refer to it
  std::unordered_map<GroupKey, Group, Hash, Equal> groups_;
  size_t members_ = 0, table_bytes_ = 0;  // sums over the groups
  TimePoint tidied_;
};

}  // namespace weir::balance

// Finding and forgetting. See groups.h.
#include "nodeproxy/balance/groups.h"

#include <algorithm>
#include <tuple>
#include <utility>
#include <vector>

namespace weir::balance {
namespace {

constexpr auto kTidyEvery = std::chrono::seconds(10);
constexpr auto kJustUsed = std::chrono::seconds(1);  // somebody may hold a Choice of it

}  // namespace

size_t Groups::Hash::operator()(const GroupKeyView& key) const {
  const std::hash<std::string_view> hash;
  return mix(hash(key.service) ^ (uint64_t{key.port} << 1 | uint64_t{key.v4})) ^
         (hash(key.node) + 3 * hash(key.zone));
}

Group& Groups::refresh(const Request& request, const std::string& port_name, Random& random) {
  forget_idle(request.now);
  const GroupKeyView key{request.service.name, request.node, request.zone, request.port, request.v4};
  auto found = groups_.find(key);
  const bool fresh = found == groups_.end();
  if (fresh) {
    found = groups_
                .emplace(std::piecewise_construct, std::forward_as_tuple(key),
                         std::forward_as_tuple(key, random.next() >> 32, ejections_of(key.service)))
                .first;
  }
  Group& group = found->second;
  const size_t members = group.members().size(), bytes = group.eligible().table_bytes();
  group.refresh(request, port_name);
  const size_t members_now = group.members().size(), bytes_now = group.eligible().table_bytes();
  members_ += members_now - members;
  table_bytes_ += bytes_now - bytes;
  // Only what grew can have filled it: what is full of groups in use is not searched for room at every pick.
  if (fresh || members_now > members || bytes_now > bytes) make_room(request.now);
  return group;
}

Ejections& Groups::ejections_of(std::string_view service) {
  const auto found = ejections_.find(service);
  return found != ejections_.end() ? found->second : ejections_[std::string(service)];
}

void Groups::forget_idle(TimePoint now) {
  if (now - tidied_ < kTidyEvery) return;
  tidied_ = now;
  for (auto at = groups_.begin(); at != groups_.end();) {
    Group& group = at->second;
    group.members().forget_gone(now);
    at = !group.leased() && now - group.used() >= limits_.idle ? groups_.erase(at) : std::next(at);
  }
  recount();
}

bool Groups::within(size_t eighths) const {
  return groups_.size() * 8 <= limits_.groups_max * eighths &&
         members_ * 8 <= limits_.members_max * eighths &&
         table_bytes_ * 8 <= limits_.table_bytes_max * eighths;
}

void Groups::make_room(TimePoint now) {
  if (within(8)) return;
  std::vector<std::pair<TimePoint, GroupKeyView>> oldest;
  for (const auto& [key, group] : groups_)
    if (now - group.used() > kJustUsed) oldest.push_back({group.used(), key.view()});
  std::sort(oldest.begin(), oldest.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  // A little more than it takes, so that it is not every new group that makes room.
  for (size_t i = 0; i < oldest.size() && !within(7); ++i) {
    const auto found = groups_.find(oldest[i].second);
    Group& group = found->second;
    table_bytes_ -= group.eligible().table_bytes();
    if (group.leased()) {
      group.eligible().drop_tables();
      continue;
    }
    members_ -= group.members().size();
    groups_.erase(found);
  }
}

void Groups::recount() {
  members_ = table_bytes_ = 0;
  for (const auto& [key, group] : groups_) {
    members_ += group.members().size();
    table_bytes_ += group.eligible().table_bytes();
  }
}

}  // namespace weir::balance

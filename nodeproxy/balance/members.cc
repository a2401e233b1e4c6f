// Coming and going. See members.h.
#include "nodeproxy/balance/members.h"

namespace weir::balance {

Member* Members::join(const config::Endpoint& endpoint, TimePoint now) {
  const auto [found, fresh] = members_.try_emplace(endpoint.id);
  Member& member = found->second;
  if (member.seen == build_) return nullptr;
  const bool stayed = !fresh && member.seen + 1 == build_;
  if (fresh) {
    member.id = endpoint.id;
    member.address = endpoint.address;
  }
  // Those of the first list were there before this worker looked: they have nothing to grow into.
  if (!stayed) member.since = had_others_ ? now : TimePoint::min();
  member.seen = build_;
  ++present_;
  return &member;
}

void Members::end_build(TimePoint now) {
  if (members_.size() == present_) return;
  for (auto& [id, member] : members_)
    if (member.seen + 1 == build_) member.gone = now;
  forget_gone(now);
}

void Members::forget_gone(TimePoint now) {
  if (members_.size() == present_) return;
  std::erase_if(members_, [&](const auto& entry) {
    const Member& member = entry.second;
    return !present(member) && member.in_flight == 0 && now - member.gone >= fade;
  });
}

}  // namespace weir::balance

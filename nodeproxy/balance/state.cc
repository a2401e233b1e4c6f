// Counting and listing. See state.h.
#include "nodeproxy/balance/state.h"

namespace weir::balance {

void State::closed(uint64_t endpoint_id) {
  const auto found = open_.find(endpoint_id);
  if (found != open_.end() && --found->second == 0) open_.erase(found);
}

std::vector<EjectedView> State::ejected(TimePoint now) const {
  std::vector<EjectedView> views;
  groups_.for_each([&](const Group& group) {
    if (!group.outliers().any()) return;
    group.members().for_each([&](const Member& member) {
      if (!member.ejected || member.until <= now || !group.members().present(member)) return;
      views.push_back({group.key().service, group.key().port, member.address, member.id, member.cause,
                       member.times_in_row, member.until});
    });
  });
  return views;
}

Result<Permit> State::admit(const config::Service& service, Use use, TimePoint now) {
  Breaker& breaker = uses_.at(service.name, now).breaker;
  auto permit = breaker.enter(use, service.traffic.circuit_breaker);
  if (permit) return std::move(*permit);
  ++refusals_[service.name][static_cast<size_t>(use)];
  return fail(Source::local, Reason::circuit_open);
}

void State::count_request(const config::Service& service, TimePoint now) {
  uses_.at(service.name, now).budget.request(now);
}

bool State::may_retry(const config::Service& service, TimePoint now) {
  return uses_.at(service.name, now).budget.retry(service.traffic.retry_budget, now);
}

}  // namespace weir::balance

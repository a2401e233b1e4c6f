// See group.h.
#include "nodeproxy/balance/group.h"

namespace weir::balance {

const Eligible& Group::refresh(const Request& request, const std::string& port_name) {
  ++picks_;
  used_ = request.now;
  outliers_.expire(members_, request.now);
  if (!eligible_.current(request, outliers_.changes()))
    eligible_.build(request, port_name, members_, outliers_);
  return eligible_;
}

void Group::begin(Member& member, TimePoint now) {
  ++leases_;
  ++member.in_flight;
  member.latency.asked(now, picks_);
}

void Group::end(Member& member) {
  --leases_;
  --member.in_flight;
}

void Group::outcome(Member& member, const Outcome& outcome, TimePoint now) {
  const Nanoseconds latency = outcome.latency.value_or(Nanoseconds(0));
  switch (outcome.kind) {
    case Outcome::Kind::ok:
      if (outcome.latency) {
        member.latency.answered(latency, now);
      } else {
        member.latency.answered();
      }
      break;
    case Outcome::Kind::failed:
    case Outcome::Kind::busy: member.latency.failed(latency, now); break;
    case Outcome::Kind::abandoned: member.latency.abandoned(latency, now); break;
  }
  outliers_.outcome(members_, member, outcome, now);
}

}  // namespace weir::balance

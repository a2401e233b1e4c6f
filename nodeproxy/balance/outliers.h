#pragma once
// Ejection: endpoints of a Group that do much worse than they should are left out for a time (http.md "Outlier
// ejection"; the rules are Envoy's where the design says nothing).
//
//   consecutive   so many failures in a row
//   success rate  below the limit over an interval with 100 answers or more
//   latency       mean over an interval above so many percent of the median member's, of 20 answers or more each and
//                 three members or more
//   time          base × how often in a row, up to a maximum; every interval without ejection takes one off that count
//   cap           an ejection that would make more than the allowed share of the present members ejected does not
//                 happen; when members went and the share is above it since, no ejection counts (see honoured)
//   return        with a fresh start: nothing of before counts
//
// Owner: a Group. Thread: its worker's; the clock is the caller's.
#include <cstdint>

#include "nodeproxy/balance/members.h"
#include "nodeproxy/config/traffic.h"

namespace weir::balance {

class Outliers {
 public:
  static constexpr uint32_t success_rate_answers_min = 100;
  static constexpr uint32_t latency_answers_min = 20;
  static constexpr size_t latency_members_min = 3;

  explicit Outliers(Ejections& ejections) : ejections_(ejections) {}

  // The service's settings; at each build of the list.
  void configure(const config::Outlier& settings, Members& members, TimePoint now);
  void outcome(Members& members, Member& member, const Outcome& outcome, TimePoint now);
  // Lets those return whose time is over. Cheap when there are none.
  void expire(Members& members, TimePoint now);

  // Whether the list leaves the ejected out.
  bool honoured(const Members& members) const;
  // Rises when the list is no longer right.
  uint64_t changes() const { return changes_; }
  bool any() const { return next_return_ != TimePoint::max(); }

 private:
  bool room_for_one_more(const Members& members) const;
  void eject(Members& members, Member& member, Cause cause, TimePoint now);
  void judge_interval(Members& members, TimePoint now);
  void judge_success(Members& members, TimePoint now);
  void judge_latency(Members& members, TimePoint now);

  Ejections& ejections_;
  config::Outlier settings_;
  TimePoint next_return_ = TimePoint::max();
  TimePoint interval_end_{};
  uint64_t changes_ = 0;
};

}  // namespace weir::balance

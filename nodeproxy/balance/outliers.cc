// Judging and counting. See outliers.h.
#include "nodeproxy/balance/outliers.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace weir::balance {
namespace {

size_t ejected_count(const Members& members) {
  size_t count = 0;
  members.for_each([&](const Member& member) { count += members.present(member) && member.ejected ? 1 : 0; });
  return count;
}

// How bad, and who.
using Offender = std::pair<double, Member*>;

void sort_worst_first(std::vector<Offender>& offenders) {
  std::sort(offenders.begin(), offenders.end(), [](const Offender& a, const Offender& b) {
    return a.first != b.first ? a.first > b.first : a.second->id < b.second->id;
  });
}

}  // namespace

void Outliers::configure(const config::Outlier& settings, Members& members, TimePoint now) {
  settings_ = settings;
  if (settings_.enabled || !any()) return;
  members.for_each([&](Member& member) {
    if (member.ejected) member.fresh_start(now);
  });
  next_return_ = TimePoint::max();
}

void Outliers::outcome(Members& members, Member& member, const Outcome& outcome, TimePoint now) {
  if (!settings_.enabled) return;
  if (now >= interval_end_) {
    judge_interval(members, now);
    interval_end_ = now + settings_.interval;
  }
  if (outcome.kind == Outcome::Kind::abandoned) return;
  ++member.interval.answered;
  if (outcome.kind != Outcome::Kind::failed) {
    member.failures_in_row = 0;
    if (outcome.latency) {
      ++member.interval.timed;
      member.interval.latency_ns += static_cast<double>(outcome.latency->count());
    }
    return;
  }
  ++member.interval.failed;
  ++member.failures_in_row;
  if (settings_.consecutive_failures > 0 && member.failures_in_row >= settings_.consecutive_failures)
    eject(members, member, Cause::consecutive_failures, now);
}

bool Outliers::room_for_one_more(const Members& members) const {
  return (ejected_count(members) + 1) * 100 <= uint64_t{settings_.ejected_percent_max} * members.present();
}

bool Outliers::honoured(const Members& members) const {
  if (!any()) return true;
  const size_t ejected = ejected_count(members);
  return ejected < members.present() &&
         ejected * 100 <= uint64_t{settings_.ejected_percent_max} * members.present();
}

void Outliers::eject(Members& members, Member& member, Cause cause, TimePoint now) {
  if (member.ejected || !members.present(member) || !room_for_one_more(members)) return;
  const auto quiet = (now - member.returned) / std::max(settings_.interval, config::Milliseconds(1));
  member.times_in_row -= static_cast<uint32_t>(std::clamp<int64_t>(quiet, 0, member.times_in_row));
  ++member.times_in_row;
  member.ejected = true;
  member.cause = cause;
  member.until = now + std::min(settings_.max_ejection, settings_.base_ejection * member.times_in_row);
  next_return_ = std::min(next_return_, member.until);
  ++ejections_[static_cast<size_t>(cause)];
  ++changes_;
}

void Outliers::expire(Members& members, TimePoint now) {
  if (now < next_return_) return;
  next_return_ = TimePoint::max();
  members.for_each([&](Member& member) {
    if (!member.ejected) return;
    if (member.until <= now) return member.fresh_start(now);
    next_return_ = std::min(next_return_, member.until);
  });
  ++changes_;
}

void Outliers::judge_interval(Members& members, TimePoint now) {
  if (settings_.success_rate_percent > 0) judge_success(members, now);
  if (settings_.latency_factor_percent > 0) judge_latency(members, now);
  members.for_each([](Member& member) { member.interval = {}; });
}

void Outliers::judge_success(Members& members, TimePoint now) {
  std::vector<Offender> offenders;
  members.for_each([&](Member& member) {
    const auto& [answered, failed, timed, latency] = member.interval;
    if (member.ejected || answered < success_rate_answers_min) return;
    if (uint64_t{answered - failed} * 100 < uint64_t{settings_.success_rate_percent} * answered)
      offenders.push_back({static_cast<double>(failed) / answered, &member});
  });
  sort_worst_first(offenders);
  for (const auto& [rate, member] : offenders) eject(members, *member, Cause::success_rate, now);
}

void Outliers::judge_latency(Members& members, TimePoint now) {
  std::vector<Offender> judged;
  members.for_each([&](Member& member) {
    if (!member.ejected && member.interval.timed >= latency_answers_min)
      judged.push_back({member.interval.latency_ns / member.interval.timed, &member});
  });
  if (judged.size() < latency_members_min) return;
  sort_worst_first(judged);
  // Of an even number the quicker of the two in the middle.
  const double limit = judged[judged.size() / 2].first * settings_.latency_factor_percent / 100;
  for (const auto& [latency, member] : judged)
    if (latency > limit) eject(members, *member, Cause::latency, now);
}

}  // namespace weir::balance

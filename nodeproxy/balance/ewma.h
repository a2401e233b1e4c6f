#pragma once
// What is expected of an endpoint's latency: an average that follows a peak at once and comes down slowly, as
// Finagle's and Linkerd's peak EWMA do, with these rules beside:
//
//   nobody heard of   an endpoint never asked is expected to be the fastest, so it is asked soon; once asked and not
//                     heard of yet, to take a second, so that it is asked by one request and not by a burst
//   out of use        the expectation falls while nothing is sent, so that a slow endpoint is tried again now and
//                     then; by time and by what the others served meanwhile, whichever is less, so that at any rate of
//                     requests a slow one gets only a small share. What is sent makes it whole again
//   failure           never makes an endpoint look faster, though failing is quick: each in a row doubles what is expected,
//                     until the next success. (Not more than that: at a thousand requests a second, one failure in a
//                     hundred must not drown what the others say.)
//
// Owner: Member. Thread: its worker's; the clock is the caller's.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>

namespace weir::balance {

using TimePoint = std::chrono::steady_clock::time_point;
using Nanoseconds = std::chrono::nanoseconds;

class PeakEwma {
 public:
  static constexpr double decay_ns = 10e9;    // a past latency's weight falls to 1/e in this time
  static constexpr double decay_picks = 200;  // likewise, out of use: in this many picks of the service
  static constexpr double unknown_ns = 1e9;   // asked and not heard of yet
  static constexpr double floor_ns = 1e6;     // below this the proxy's own turns are what is measured
  static constexpr double ceiling_ns = 10e9;  // else one hanging request would banish for minutes

  static constexpr double failed_first_ns = 30e6;  // failed, and never answered yet
  static constexpr int doublings_max = 10;

  // A request goes there. `picks` is how many the service has seen.
  void asked(TimePoint now, uint64_t picks) {
    if (!known_ && value_ns_ == 0) value_ns_ = unknown_ns;
    idle_since_ = now;
    idle_since_picks_ = picks;
  }

  void answered(Nanoseconds latency, TimePoint now) {
    failures_in_row_ = 0;
    sample(static_cast<double>(latency.count()), now);
  }
  // An answer whose latency says nothing.
  void answered() { failures_in_row_ = 0; }
  void failed(Nanoseconds latency, TimePoint now) {
    failures_in_row_ = std::min(failures_in_row_ + 1, doublings_max);
    const auto took = static_cast<double>(latency.count());
    if (!known_) {
      value_ns_ = std::max(took, failed_first_ns);
    } else if (took > value_ns_) {
      sample(took, now);
    }
  }
  // Nobody waited for the end: it would have taken at least this long.
  void abandoned(Nanoseconds latency, TimePoint now) {
    if (known_ && static_cast<double>(latency.count()) > value_ns_)
      sample(static_cast<double>(latency.count()), now);
  }

  // 0: never asked.
  double estimate_ns(TimePoint now, uint64_t picks) const {
    const double time = since(idle_since_, now) / decay_ns;
    const double share = static_cast<double>(picks - idle_since_picks_) / decay_picks;
    return std::min(ceiling_ns, std::ldexp(value_ns_, failures_in_row_)) * fall(std::min(time, share));
  }

 private:
  static double since(TimePoint then, TimePoint now) {
    return static_cast<double>(std::max(Nanoseconds(0), Nanoseconds(now - then)).count());
  }
  static double fall(double exponent) { return exponent < 0.01 ? 1 - exponent : std::exp(-exponent); }

  void sample(double latency_ns, TimePoint now) {
    latency_ns = std::clamp(latency_ns, floor_ns, ceiling_ns);
    if (!known_ || latency_ns >= value_ns_) {
      value_ns_ = latency_ns;
    } else {
      value_ns_ = latency_ns + (value_ns_ - latency_ns) * fall(since(sampled_, now) / decay_ns);
    }
    known_ = true;
    sampled_ = now;
  }

  double value_ns_ = 0;
  TimePoint sampled_, idle_since_;
  uint64_t idle_since_picks_ = 0;
  int failures_in_row_ = 0;
  bool known_ = false;
};

}  // namespace weir::balance

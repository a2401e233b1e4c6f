#pragma once
// The retry budget of one service: retries are allowed up to a share of the requests of the last ten seconds, and a fixed
// number a second beside, so that retries cannot multiply an outage, and a quiet service still has some (as in Finagle).
// Time is cut into seconds: the window is the running second and the nine before.
// Owner: ServiceUses. Thread: its worker's; the clock is the caller's.
#include <array>
#include <cstddef>
#include <cstdint>

#include "nodeproxy/balance/ewma.h"
#include "nodeproxy/config/traffic.h"

namespace weir::balance {

class Budget {
 public:
  static constexpr size_t window_seconds = 10;

  // A request began; not its retries.
  void request(TimePoint now) {
    advance(now);
    ++requests_[slot()];
  }
  // Whether one more retry may be made; it is then counted.
  bool retry(const config::RetryBudget& budget, TimePoint now) {
    advance(now);
    const uint64_t allowed =
        sum(requests_) * budget.percent / 100 + uint64_t{budget.minimum_per_second} * window_seconds;
    if (sum(retries_) >= allowed) return false;
    ++retries_[slot()];
    return true;
  }

 private:
  using Seconds = std::array<uint32_t, window_seconds>;

  static uint64_t sum(const Seconds& seconds) {
    uint64_t sum = 0;
    for (const uint32_t count : seconds) sum += count;
    return sum;
  }
  size_t slot() const { return static_cast<size_t>(second_) % window_seconds; }

  void advance(TimePoint now) {
    const int64_t second = std::chrono::floor<std::chrono::seconds>(now.time_since_epoch()).count();
    if (second - second_ >= static_cast<int64_t>(window_seconds)) {
      requests_ = retries_ = {};
      second_ = second;
    }
    while (second_ < second) {
      ++second_;
      requests_[slot()] = retries_[slot()] = 0;
    }
  }

  Seconds requests_{}, retries_{};
  int64_t second_ = 0;
};

}  // namespace weir::balance

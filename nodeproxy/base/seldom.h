#pragma once
// How often something may be said: at once, and then no sooner than `every` after the last time, with the number of
// times that were passed over. For log lines that somebody else's behaviour brings about.
// Thread: one. Lifetime: a member of whoever speaks.
#include <chrono>
#include <cstdint>
#include <optional>
#include <utility>

namespace weir {

class Seldom {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;
  explicit Seldom(std::chrono::steady_clock::duration every = std::chrono::seconds(10)) : every_(every) {}

  // It happened once more. How many were passed over since it was last said, if it is to be said now.
  std::optional<uint64_t> now(TimePoint time) {
    if (last_ && time - *last_ < every_) {
      ++passed_over_;
      return std::nullopt;
    }
    last_ = time;
    return std::exchange(passed_over_, 0);
  }

 private:
  std::chrono::steady_clock::duration every_;
  std::optional<TimePoint> last_;
  uint64_t passed_over_ = 0;
};

}  // namespace weir

#pragma once
// When a process that has worked has come to rest: the moment to give back what only work needs. It costs whoever still works,
// so it waits until nobody has for a while, and is said once for each time that there was work worth speaking of.
// Thread: one. Lifetime: a member of whoever looks.
#include <chrono>
#include <cstdint>

namespace weir {

class Rest {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;
  static constexpr auto kQuietFor = std::chrono::seconds(5);
  static constexpr uint64_t kQuietPerSecond = 50;  // per worker: its own sweeps, scrapes, probes
  static constexpr uint64_t kWork = 1'000;  // a few hundred connections that come at once take as many turns

  // `turns`: of all workers' loops until now. Call a few times in kQuietFor.
  bool begins(uint64_t turns, uint32_t workers, TimePoint now) {
    if (now - since_ < kQuietFor) return false;
    const auto seconds = static_cast<uint64_t>((now - since_) / std::chrono::seconds(1));
    const uint64_t lately = turns - before_;
    since_ = now;
    before_ = turns;
    if (lately > kQuietPerSecond * workers * seconds) {
      worked_ += lately;
      return false;
    }
    if (worked_ < kWork) return false;
    worked_ = 0;
    return true;
  }

 private:
  TimePoint since_ = {};
  uint64_t before_ = 0;
  uint64_t worked_ = 0;  // turns, since memory was last given back, of times that were not quiet
};

}  // namespace weir

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
  static constexpr uint64_t kWork = 5'000;

  // `turns`: of all workers' loops until now. Call a few times in kQuietFor.
  bool begins(uint64_t turns, uint32_t workers, TimePoint now) {
    if (now - since_ < kQuietFor) return false;
    const auto seconds = static_cast<uint64_t>((now - since_) / std::chrono::seconds(1));
    const bool quiet = turns - before_ <= kQuietPerSecond * workers * seconds;
    since_ = now;
    before_ = turns;
    if (!quiet) worked_ = true;
    if (!quiet || !worked_ || turns - given_back_ < kWork) return false;
    worked_ = false;
    given_back_ = turns;
    return true;
  }

 private:
  TimePoint since_ = {};
  uint64_t before_ = 0, given_back_ = 0;
  bool worked_ = false;
};

}  // namespace weir

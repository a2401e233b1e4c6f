#pragma once
// Deadlines of one worker: an intrusive binary heap, so arming and disarming cost O(log n) and no memory of their own.
// A Timer is a member of whoever waits; it must be disarmed (or have fired) before it goes.
// Thread: one worker. Time: the driver's clock (virtual in the simulator).
#include <chrono>
#include <cstdint>
#include <vector>

namespace weir::io {

using Clock = std::chrono::steady_clock;
using TimePoint = Clock::time_point;
inline constexpr TimePoint kNever = TimePoint::max();

class Timers;

class Timer {
 public:
  virtual void fire() = 0;
  bool armed() const { return index_ != kIdle; }

 protected:
  Timer() = default;
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;
  ~Timer() = default;

 private:
  friend class Timers;
  static constexpr uint32_t kIdle = UINT32_MAX;
  TimePoint at_ = kNever;
  uint32_t index_ = kIdle;
};

class Timers {
 public:
  void arm(Timer& timer, TimePoint at);  // moves it when it is armed already
  void disarm(Timer& timer);
  TimePoint next() const { return heap_.empty() ? kNever : heap_.front()->at_; }
  // Fires all that are due; a timer may arm itself or others anew meanwhile.
  void run(TimePoint now);

 private:
  void place(Timer* timer, uint32_t index);
  void sift_up(uint32_t index);
  void sift_down(uint32_t index);

  std::vector<Timer*> heap_;
};

}  // namespace weir::io

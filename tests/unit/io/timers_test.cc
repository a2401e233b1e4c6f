// The heap of deadlines against a list kept the simple way.
#include "nodeproxy/io/timers.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <random>

namespace weir::io {
namespace {

struct Alarm final : Timer {
  void fire() override { fired->push_back(this); }
  std::vector<Alarm*>* fired = nullptr;
  TimePoint at = kNever;  // as the test knows it
};

TimePoint time(uint32_t tick) { return TimePoint(std::chrono::microseconds(tick)); }

}  // namespace

TEST_CASE("timers armed, moved and disarmed at random fire when due, in the order of their deadlines") {
  std::mt19937 random(Catch::rngSeed());
  INFO("seed " << Catch::rngSeed());
  Timers timers;
  std::vector<Alarm> alarms(60);
  std::vector<Alarm*> fired;
  for (Alarm& alarm : alarms) alarm.fired = &fired;
  uint32_t now = 0;
  for (int step = 0; step < 20'000; ++step) {
    Alarm& alarm = alarms[random() % alarms.size()];
    if (random() % 4 != 0) {
      alarm.at = time(now + random() % 100);
      timers.arm(alarm, alarm.at);
    } else {
      alarm.at = kNever;
      timers.disarm(alarm);
    }
    TimePoint next = kNever;
    for (const Alarm& one : alarms) next = std::min(next, one.at);
    REQUIRE(timers.next() == next);
    if (random() % 8 != 0) continue;
    now += random() % 40;
    fired.clear();
    timers.run(time(now));
    REQUIRE(std::is_sorted(fired.begin(), fired.end(),
                           [](const Alarm* a, const Alarm* b) { return a->at < b->at; }));
    for (Alarm& one : alarms) {
      const bool due = one.at <= time(now);
      REQUIRE(due == (std::find(fired.begin(), fired.end(), &one) != fired.end()));
      REQUIRE(one.armed() == (one.at != kNever && !due));
      if (due) one.at = kNever;
    }
  }
}

TEST_CASE("a timer may arm itself again while it fires") {
  struct Again final : Timer {
    void fire() override {
      if (++count < 3) timers->arm(*this, time(static_cast<uint32_t>(count)));
    }
    Timers* timers = nullptr;
    int count = 0;
  } again;
  Timers timers;
  again.timers = &timers;
  timers.arm(again, time(0));
  timers.run(time(10));
  CHECK(again.count == 3);
  CHECK(timers.next() == kNever);
}

}  // namespace weir::io

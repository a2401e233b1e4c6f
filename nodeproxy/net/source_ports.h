#pragma once
// Source ports that Weir allocates itself, from ranges that no kernel uses (base/limits.h): a port of the kernel's own
// choice, bound to another pod's address, would collide with a later connection of that pod, whose SYN then matches
// the application's established socket and hangs. Each worker steps through its own residue class, so two workers
// never hand out the same port at the same time. Two proxies do, while one replaces the other: each begins at a place
// of its own, and jump() leaves a stretch that the other is found to hold.
// Thread: one worker.
#include <cstdint>

#include <random>

#include "nodeproxy/base/limits.h"

namespace weir::net {

class SourcePorts {
 public:
  // Of [first, last], the ports p with p ≡ first + worker (mod workers).
  SourcePorts(uint16_t first, uint16_t last, uint32_t worker, uint32_t workers, uint64_t seed)
      : first_(first + worker),
        step_(workers),
        count_((last - first - worker) / workers + 1),
        random_(static_cast<std::minstd_rand::result_type>(seed)) {
    jump();
  }

  uint16_t next() {
    const uint32_t port = first_ + step_ * cursor_;
    cursor_ = cursor_ + 1 == count_ ? 0 : cursor_ + 1;
    return static_cast<uint16_t>(port);
  }
  // To a random place of the range: the last port was in use, and its neighbours may be.
  void jump() { cursor_ = static_cast<uint32_t>(random_() % count_); }
  uint32_t count() const { return count_; }

 private:
  uint32_t first_, step_, count_;
  std::minstd_rand random_;
  uint32_t cursor_ = 0;
};

struct PortRanges {
  PortRanges(uint32_t worker, uint32_t workers, uint64_t seed)
      : application(limits::app_port_first, limits::app_port_last, worker, workers, seed),
        lane(limits::lane_port_first, limits::lane_port_last, worker, workers, seed + 1) {}
  SourcePorts application, lane;
};

}  // namespace weir::net

#pragma once
// Source ports that Weir allocates itself, from ranges that no kernel uses (base/limits.h): a port of the kernel's own
// choice, bound to another pod's address, would collide with a later connection of that pod, whose SYN then matches
// the application's established socket and hangs. Each worker steps through its own residue class, so two workers
// never hand out the same port at the same time.
// Thread: one worker.
#include <cstdint>

#include "nodeproxy/base/limits.h"

namespace weir::net {

class SourcePorts {
 public:
  // Of [first, last], the ports p with p ≡ first + worker (mod workers).
  SourcePorts(uint16_t first, uint16_t last, uint32_t worker, uint32_t workers)
      : first_(first + worker), step_(workers), count_((last - first - worker) / workers + 1) {}

  uint16_t next() {
    const uint32_t port = first_ + step_ * cursor_;
    cursor_ = cursor_ + 1 == count_ ? 0 : cursor_ + 1;
    return static_cast<uint16_t>(port);
  }
  uint32_t count() const { return count_; }

 private:
  uint32_t first_, step_, count_;
  uint32_t cursor_ = 0;
};

struct PortRanges {
  PortRanges(uint32_t worker, uint32_t workers)
      : application(limits::app_port_first, limits::app_port_last, worker, workers),
        lane(limits::lane_port_first, limits::lane_port_last, worker, workers) {}
  SourcePorts application, lane;
};

}  // namespace weir::net

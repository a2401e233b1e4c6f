#pragma once
// One listening socket's accept loop: a multishot accept that hands every descriptor to its owner. When descriptors or
// memory run out it pauses and begins again; the connections wait in the kernel's queue meanwhile.
// Thread: one worker. Lifetime: stop(), then wait until idle() before the owner and the listener's descriptor go.
#include <functional>

#include "nodeproxy/io/driver.h"

namespace weir::net {

class Acceptor final : private io::Op, private io::Timer {
 public:
  using Accepted = std::function<void(int fd)>;
  using Stopped = std::function<void()>;

  Acceptor(io::Driver& driver, int listener_fd, Accepted accepted, Stopped stopped)
      : driver_(driver), fd_(listener_fd), accepted_(std::move(accepted)), stopped_(std::move(stopped)) {
    set_share(io::share_of_listener(listener_fd));
  }

  void start();
  // No new connections from here on (what the kernel had already accepted is still handed over); calls `stopped`
  // once nothing is in flight, possibly at once.
  void stop();
  bool idle() const { return !in_flight() && !armed(); }
  uint64_t errors() const { return errors_; }

 private:
  void complete(int32_t result, io::Buffer buffer, bool more) override;
  void fire() override { start(); }

  io::Driver& driver_;
  int fd_;
  Accepted accepted_;
  Stopped stopped_;
  bool stopping_ = false;
  uint64_t errors_ = 0;
};

}  // namespace weir::net

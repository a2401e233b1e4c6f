#pragma once
// One listening socket's accept loop: a multishot accept that hands every descriptor to its owner. When memory or
// descriptors run out, or descriptors are so few that the rest is the process's own (base/descriptors.h), it pauses and
// begins again by itself; the connections wait in the kernel's queue meanwhile.
// Thread: one worker. Lifetime: stop(), then wait until idle() before the owner and the listener's descriptor go.
#include <array>
#include <functional>

#include "nodeproxy/base/seldom.h"
#include "nodeproxy/io/driver.h"

namespace weir::net {

// The pauses of all accept loops of a worker: counted by reason, told of now and then. Lifetime: the worker's.
class AcceptPauses {
 public:
  void count(int os_code, io::TimePoint now);
  const std::array<uint64_t, kReasonCount>& by_reason() const { return by_reason_; }
  uint64_t count() const { return count_; }

 private:
  std::array<uint64_t, kReasonCount> by_reason_{};
  uint64_t count_ = 0;
  Seldom said_;
};

class Acceptor final : private io::Op, private io::Timer {
 public:
  using Accepted = std::function<void(int fd)>;
  using Stopped = std::function<void()>;

  Acceptor(io::Driver& driver, int listener_fd, AcceptPauses& pauses, Accepted accepted, Stopped stopped)
      : driver_(driver),
        fd_(listener_fd),
        pauses_(pauses),
        accepted_(std::move(accepted)),
        stopped_(std::move(stopped)) {
    set_share(io::share_of_listener(listener_fd));
  }

  void start();
  // No new connections from here on (what the kernel had already accepted is still handed over); calls `stopped`
  // once nothing is in flight, possibly at once.
  void stop();
  // To be called a few times a second: a connection that still waits is asked for anew. Of processes that have the same
  // listener one is woken for it, and if that one is killed then, nobody is, until the next connection comes.
  void look();
  bool idle() const { return !in_flight() && !armed(); }

 private:
  void complete(int32_t result, io::Buffer buffer, bool more) override;
  void fire() override;
  void pause(int os_code);

  io::Driver& driver_;
  int fd_;
  AcceptPauses& pauses_;
  Accepted accepted_;
  Stopped stopped_;
  bool stopping_ = false, pausing_ = false;
  bool waited_ = false, asking_anew_ = false;
};

}  // namespace weir::net

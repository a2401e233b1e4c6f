#pragma once
// How the connections of an enrolled pod lie over the workers, one way. The kernel's hash decides who accepts one, and divides
// few of them badly; so a worker that accepted one may hand it to another (LocalPod::accepted). A connection stays where it is
// unless that worker would have clearly more than another: by two where there are few, so that one connection after another,
// the last of which may still be counted, does not go to and fro; by a quarter where there are many. A lane goes to the worker
// that has its dialler's number, whose sessions then lie here as their connections lie there, which was seen to.
// A worker whose slot is closed is not handed anything, and whoever closes its own slot knows by its count what is still
// on its way to it: nothing is handed to a worker that has gone.
// Thread: any; each slot is an atomic of its own cache line, written once per accept and once per end.
// Lifetime: the pod's descriptors'; longer than every Seat.
#include <atomic>
#include <cstdint>
#include <memory>
#include <utility>

namespace weir::flow {

class Spread {
 public:
  explicit Spread(uint32_t workers) : workers_(workers), slots_(std::make_unique<Slot[]>(workers)) {}

  void open(uint32_t worker);
  void close(uint32_t worker);
  uint32_t workers() const { return workers_; }
  // Connections placed with this worker: its own, and those on their way to it.
  uint32_t count(uint32_t worker) const { return slot(worker).load(std::memory_order_acquire) & ~kClosed; }

  // Count a connection that `acceptor` has accepted, and say which worker is to serve it.
  uint32_t place(uint32_t acceptor) { return place(acceptor, acceptor, 2); }
  uint32_t place_lane(uint32_t acceptor, uint16_t from_port);
  void leave(uint32_t worker) { slot(worker).fetch_sub(1, std::memory_order_acq_rel); }

 private:
  static constexpr uint32_t kClosed = 1U << 31;
  struct alignas(64) Slot {
    std::atomic<uint32_t> value = kClosed;
  };
  std::atomic<uint32_t>& slot(uint32_t worker) const { return slots_[worker].value; }
  uint32_t place(uint32_t acceptor, uint32_t preferred, uint32_t slack);
  bool enter_open(uint32_t worker);

  uint32_t workers_;
  std::unique_ptr<Slot[]> slots_;
};

// One connection's place in a Spread, until it ends.
class Seat {
 public:
  Seat() = default;
  // Takes over what place() has counted.
  Seat(Spread& spread, uint32_t worker) : spread_(&spread), worker_(worker) {}
  Seat(Seat&& other) noexcept : spread_(std::exchange(other.spread_, nullptr)), worker_(other.worker_) {}
  Seat& operator=(Seat&&) = delete;
  ~Seat() {
    if (spread_) spread_->leave(worker_);
  }

 private:
  Spread* spread_ = nullptr;
  uint32_t worker_ = 0;
};

}  // namespace weir::flow

#pragma once
// The epoll driver, for kernels without io_uring, before 6.1, or where it is forbidden (choose.h): the same operations,
// done with ordinary system calls when their descriptor is thought ready, and put to wait for its next edge when it was
// not. A turn waits (or only looks, when there is something to try), tries every operation that is due once, and runs
// what that made ready; an operation started meanwhile is tried in the next turn. So completions come as io_uring's do:
// inside turn() and one for one.
// What a connection costs: accept4, one epoll_ctl, and from then on one call for each operation, one epoll_wait for all
// that came together, and no call in vain for a stream that gave less than was asked for.
// Receives take a buffer only when they are tried; where none is left they wait for one, and their owner never hears.
// Thread: the one that calls turn(); wake() from any. Lifetime: no operation in flight and no Buffer on loan when it
// goes.
#include <deque>
#include <memory>

#include "nodeproxy/io/buffer_slab.h"
#include "nodeproxy/io/epoll_watches.h"
#include "nodeproxy/io/kernel_socket.h"
#include "nodeproxy/io/op_slots.h"

namespace weir::io {

class EpollDriver final : public KernelDriver {
 public:
  struct Options {
    uint32_t small_buffers = 16'384;  // of limits::receive_buffer_small_bytes, committed as they are used
    uint32_t large_buffers = 2'048;   // of limits::receive_buffer_large_bytes
  };

  static Result<std::unique_ptr<Driver>> open(const Options& options);
  ~EpollDriver() override;

  void accept(Op& op, int fd) override;
  void connect(Op& op, int fd, const SocketAddress& to) override;
  void receive(Op& op, int fd, ReceiveSize size, bool poll_first) override;
  void send(Op& op, int fd, std::span<const std::byte> bytes, bool more) override;
  void wait_readable(Op& op, int fd) override;
  void cancel(Op& op) override;

  Result<int> open_socket(const SocketSpec& spec) override;
  void close(int fd) override;

  void turn(TimePoint until) override;
  TimePoint now() const override { return now_; }
  void wake() override;
  std::string_view name() const override { return "epoll"; }

 private:
  enum class Kind : uint8_t { accept, connect, receive, send, readable };
  // Where its handle is kept; running: nowhere; ended: in the queue.
  enum class Place : uint8_t { due, waiting, starved, running, ended };
  struct Operation {
    Kind kind = Kind::receive;
    Place place = Place::running;
    int fd = -1;
    ReceiveSize size = ReceiveSize::small;
    bool more = false;
    bool cancelled = false;
    int32_t error = 0;  // −errno that it ends with instead of being tried
    std::span<const std::byte> bytes = {};
    SocketAddress to = {};
    uint64_t next = 0;  // in its chain of waiting ones
  };
  using Slots = OpSlots<Operation>;

  explicit EpollDriver(KernelSockets sockets) : sockets_(std::move(sockets)) {}
  int set_up(const Options& options);

  Operation& begin(Op& op, Kind kind, int fd);
  void start(Op& op, bool ready);
  void make_due(uint64_t handle, Operation& operation);
  void wait_for_edge(uint64_t handle, Operation& operation);
  uint64_t& chain_of(const Operation& operation);
  void unchain(uint64_t handle, Operation& operation);
  void wake_chain(uint64_t& head);

  void look(TimePoint until);
  void feed_starved();
  void try_due();
  // epoll_attempt.cc: once each. −EAGAIN: not now.
  void attempt(uint64_t handle);
  void attempt_accepts(uint64_t handle);
  int32_t attempt_once(Operation& operation, Buffer& buffer);
  int32_t attempt_connect(Operation& operation);
  int32_t attempt_receive(Operation& operation, Buffer& buffer);
  int32_t attempt_send(Operation& operation);
  int32_t attempt_readable(Operation& operation);
  void end(uint64_t handle, int32_t result, Buffer buffer);
  void finish(uint64_t handle, int32_t result, Buffer buffer, bool more) override;
  BufferSlab* slab_for(ReceiveSize size);

  KernelSockets sockets_;
  EpollWatches watches_;
  BufferSlab small_, large_;
  Slots slots_;
  std::deque<uint64_t> due_, starved_;
  bool looked_ = true;  // the last turn asked the kernel for edges
  Fd wake_fd_;
  TimePoint now_ = Clock::now();
};

}  // namespace weir::io

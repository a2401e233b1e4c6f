#pragma once
// The io_uring driver (Linux 6.1 on): one ring per worker, SINGLE_ISSUER + DEFER_TASKRUN, so that completions are made
// only inside our own wait; one system call per turn, which submits, waits with a time-out and brings completions.
// Receives take provided buffers (uring_buffers.h). When the kernel finds none (−ENOBUFS) the operation is kept and
// tried again once a buffer is back: its owner never hears of it.
// Thread: the one that called open(), which also calls turn(); wake() from any. Lifetime: no operation in flight and
// no Buffer on loan when it goes.
#include <liburing.h>

#include <deque>
#include <memory>
#include <vector>

#include "nodeproxy/io/kernel_socket.h"
#include "nodeproxy/io/op_slots.h"
#include "nodeproxy/io/uring_buffers.h"

namespace weir::io {

class UringDriver final : public KernelDriver {
 public:
  struct Options {
    uint32_t entries = 1024;          // submission queue; more are submitted in several calls
    uint32_t small_buffers = 16'384;  // of limits::receive_buffer_small_bytes, committed as they are used
    uint32_t large_buffers = 2'048;   // of limits::receive_buffer_large_bytes
  };

  // Errors: what io_uring_setup(2) and io_uring_register(2) say: ENOSYS or EPERM where io_uring is switched off
  // (kernel.io_uring_disabled, seccomp), EINVAL before Linux 6.1.
  static Result<std::unique_ptr<Driver>> open(const Options& options);
  ~UringDriver() override;

  void accept(Op& op, int fd) override;
  void connect(Op& op, int fd, const SocketAddress& to) override;
  void receive(Op& op, int fd, ReceiveSize size, bool poll_first) override;
  void send(Op& op, int fd, std::span<const std::byte> bytes, bool more) override;
  void wait_readable(Op& op, int fd) override;
  void cancel(Op& op) override;
  void stop_accept(Op& op) override;
  bool connection_waits(int fd) override { return KernelSockets::connection_waits(fd); }

  Result<int> open_socket(const SocketSpec& spec) override { return sockets_.open_socket(spec); }
  void close(int fd) override { KernelSockets::close(fd); }

  void turn(TimePoint until) override;
  TimePoint now() const override { return now_; }
  void wake() override;
  std::string_view name() const override { return "io_uring"; }

 private:
  enum class Group : uint16_t { small, large };

  struct Operation {
    int fd = -1;
    bool receiving = false;  // takes a provided buffer, of this group:
    Group group = Group::small;
    bool starved = false;  // a receive that waits for a buffer, not in the kernel
    bool cancelled = false;
    bool stopping = false;  // an accept that looks once more before it ends
    sockaddr_in6 to =
        {};  // of a connect, of either family (the smaller fits); the kernel reads it at submission
  };

  using Slots = OpSlots<Operation>;

  explicit UringDriver(KernelSockets sockets) : sockets_(std::move(sockets)) {}
  int set_up(const Options& options);
  Operation& take_slot(Op& op, int fd);
  io_uring_sqe* next_sqe();
  void submit_receive(Operation& slot, uint64_t handle, bool poll_first);
  void submit_wake_read();
  void submit_accept(int fd, uint64_t handle);
  void submit_cancel(uint64_t handle);
  void feed_starved();
  void wait(TimePoint until);
  void reap();
  void reap_one(const io_uring_cqe& cqe);
  void on_no_buffers(Operation& slot, uint64_t handle);
  void finish(uint64_t handle, int32_t result, Buffer buffer, bool more) override;
  UringBuffers& buffers(Group group) { return group == Group::small ? small_ : large_; }

  KernelSockets sockets_;
  io_uring ring_ = {};
  bool ring_open_ = false;
  UringBuffers small_, large_;
  Slots slots_;
  std::deque<uint64_t> starved_;
  Fd wake_fd_;
  uint64_t wake_count_ = 0;  // read into by the kernel
  TimePoint now_ = Clock::now();
};

}  // namespace weir::io

// Reads from top to bottom as an operation lives: set-up, start, cancel, wait, completion. See uring.h.
#include "nodeproxy/io/uring.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "nodeproxy/base/limits.h"

namespace weir::io {
namespace {

// user_data that names no slot (slot numbers start at 1).
constexpr uint64_t kNobody = 0;
constexpr uint64_t kWake = uint64_t{1} << 32;
constexpr uint32_t kCompletionsPerSubmission =
    8;  // CQ size; beyond it the kernel queues (IORING_FEAT_NODROP)
constexpr int kSubmitTries = 1000;
// Buffers that the kernel is offered at first (uring_buffers.h).
constexpr uint32_t kSmallWindow = 16, kLargeWindow = 2;

}  // namespace

// --- Set-up -------------------------------------------------------------------------------------------------------

Result<std::unique_ptr<Driver>> UringDriver::open(const Options& options) {
  Result<KernelSockets> sockets = KernelSockets::open(KernelSockets::Mode::blocking);
  if (!sockets) return std::unexpected(sockets.error());
  std::unique_ptr<UringDriver> driver(new UringDriver(std::move(*sockets)));
  if (const int result = driver->set_up(options); result < 0) {
    return fail_errno(Source::kernel, "io_uring (Linux 6.1 or later is needed)", -result);
  }
  return driver;
}

int UringDriver::set_up(const Options& options) {
  io_uring_params params{};
  params.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SUBMIT_ALL |
                 IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP;
  params.cq_entries = options.entries * kCompletionsPerSubmission;
  if (const int result = io_uring_queue_init_params(options.entries, &ring_, &params); result < 0)
    return result;
  ring_open_ = true;
  if (const int result = io_uring_register_ring_fd(&ring_); result < 0) return result;
  int result = small_.open(ring_, static_cast<uint16_t>(Group::small), options.small_buffers,
                           limits::receive_buffer_small_bytes, kSmallWindow);
  if (result < 0) return result;
  result = large_.open(ring_, static_cast<uint16_t>(Group::large), options.large_buffers,
                       limits::receive_buffer_large_bytes, kLargeWindow);
  if (result < 0) return result;
  wake_fd_ = Fd(::eventfd(0, EFD_CLOEXEC));
  if (!wake_fd_) return -errno;
  submit_wake_read();
  // A seccomp filter may know io_uring_enter(2) alone.
  if (result = io_uring_submit(&ring_); result < 0) return result;
  return 0;
}

UringDriver::~UringDriver() {
  if (!slots_.all_free()) std::abort();  // an owner still counts on a completion
  if (ring_open_) io_uring_queue_exit(&ring_);
}

// --- Start --------------------------------------------------------------------------------------------------------

UringDriver::Operation& UringDriver::take_slot(Op& op, int fd) {
  if (op.in_flight()) std::abort();
  const uint64_t handle = slots_.take(op);
  set_handle(op, handle);
  Operation& operation = *slots_.find(handle);
  operation.fd = fd;
  return operation;
}

// A full queue is submitted at once. The kernel refuses only while its memory or the completion backlog is exhausted;
// what cannot be started after many tries is a broken process.
io_uring_sqe* UringDriver::next_sqe() {
  for (int i = 0; i < kSubmitTries; ++i) {
    if (io_uring_sqe* sqe = io_uring_get_sqe(&ring_)) return sqe;
    if (io_uring_submit(&ring_) < 0) io_uring_get_events(&ring_);
  }
  std::abort();
}

void UringDriver::accept(Op& op, int fd) {
  // A listener may come from elsewhere with O_NONBLOCK, which would turn waiting into −EAGAIN.
  KernelSockets::set_blocking(fd);
  take_slot(op, fd);
  submit_accept(fd, handle_of(op));
}

void UringDriver::submit_accept(int fd, uint64_t handle) {
  io_uring_sqe* sqe = next_sqe();
  io_uring_prep_multishot_accept(sqe, fd, nullptr, nullptr, SOCK_CLOEXEC);
  io_uring_sqe_set_data64(sqe, handle);
}

void UringDriver::connect(Op& op, int fd, const SocketAddress& to) {
  Operation& slot = take_slot(op, fd);
  sockaddr_storage address;
  const socklen_t length = to.to_sockaddr(address);
  std::memcpy(&slot.to, &address, length);
  io_uring_sqe* sqe = next_sqe();
  io_uring_prep_connect(sqe, fd, reinterpret_cast<const sockaddr*>(&slot.to), length);
  io_uring_sqe_set_data64(sqe, handle_of(op));
}

void UringDriver::receive(Op& op, int fd, ReceiveSize size, bool poll_first) {
  Operation& slot = take_slot(op, fd);
  slot.receiving = true;
  slot.group = size == ReceiveSize::small ? Group::small : Group::large;
  submit_receive(slot, handle_of(op), poll_first);
}

void UringDriver::submit_receive(Operation& slot, uint64_t handle, bool poll_first) {
  io_uring_sqe* sqe = next_sqe();
  io_uring_prep_recv(sqe, slot.fd, nullptr, 0, 0);  // length 0: the buffer's own
  sqe->flags |= IOSQE_BUFFER_SELECT;
  sqe->buf_group = static_cast<uint16_t>(slot.group);
  if (poll_first) sqe->ioprio |= IORING_RECVSEND_POLL_FIRST;
  io_uring_sqe_set_data64(sqe, handle);
}

void UringDriver::send(Op& op, int fd, std::span<const std::byte> bytes, bool more) {
  take_slot(op, fd);
  io_uring_sqe* sqe = next_sqe();
  io_uring_prep_send(sqe, fd, bytes.data(), bytes.size(), MSG_NOSIGNAL | (more ? MSG_MORE : 0));
  io_uring_sqe_set_data64(sqe, handle_of(op));
}

void UringDriver::wait_readable(Op& op, int fd) {
  take_slot(op, fd);
  io_uring_sqe* sqe = next_sqe();
  io_uring_prep_poll_add(sqe, fd, POLLIN);
  io_uring_sqe_set_data64(sqe, handle_of(op));
}

void UringDriver::submit_wake_read() {
  io_uring_sqe* sqe = next_sqe();
  io_uring_prep_read(sqe, wake_fd_.get(), &wake_count_, sizeof wake_count_, 0);
  io_uring_sqe_set_data64(sqe, kWake);
}

// --- Cancel -------------------------------------------------------------------------------------------------------

void UringDriver::cancel(Op& op) {
  Operation* slot = slots_.find(handle_of(op));
  if (!slot || slot->cancelled) return;
  slot->cancelled = true;
  if (slot->starved) {  // not in the kernel
    slot->starved = false;
    return completed(op, -ECANCELED, {}, false);
  }
  submit_cancel(handle_of(op));
}

void UringDriver::submit_cancel(uint64_t handle) {
  io_uring_sqe* sqe = next_sqe();
  io_uring_prep_cancel64(sqe, handle, 0);
  io_uring_sqe_set_data64(sqe, kNobody);
}

void UringDriver::stop_accept(Op& op) {
  if (Operation* slot = slots_.find(handle_of(op))) slot->stopping = true;
  cancel(op);
}

// --- A turn -------------------------------------------------------------------------------------------------------

void UringDriver::turn(TimePoint until) {
  if (has_ready()) until = now_;
  wait(until);
  now_ = Clock::now();
  reap();
  small_.cool(now_);
  large_.cool(now_);
  timers().run(now_);
  run_ready();
}

void UringDriver::wait(TimePoint until) {
  small_.refill();
  large_.refill();
  feed_starved();
  until = std::min(until, timers().next());
  now_ = Clock::now();
  if (until <= now_) {
    io_uring_submit_and_get_events(&ring_);
    return;
  }
  // Failures (−ETIME, −EINTR, a completion backlog) all mean: see what has come, and turn again.
  io_uring_cqe* cqe = nullptr;
  if (until == kNever) {
    io_uring_submit_and_wait(&ring_, 1);
    return;
  }
  const auto left_ns = std::chrono::duration_cast<std::chrono::nanoseconds>(until - now_).count();
  __kernel_timespec timeout{.tv_sec = left_ns / 1'000'000'000, .tv_nsec = left_ns % 1'000'000'000};
  io_uring_submit_and_wait_timeout(&ring_, &cqe, 1, &timeout, nullptr);
}

void UringDriver::wake() {
  const uint64_t one = 1;
  // Fails only when the counter is full, and then the driver has been woken.
  [[maybe_unused]] const ssize_t written = ::write(wake_fd_.get(), &one, sizeof one);
}

// As many starved receives as there are buffers go back to the kernel, oldest first.
void UringDriver::feed_starved() {
  size_t small_left = small_.provided(), large_left = large_.provided();
  for (size_t left = starved_.size(); left > 0 && small_left + large_left > 0; --left) {
    const uint64_t handle = starved_.front();
    starved_.pop_front();
    Operation* slot = slots_.find(handle);
    if (!slot || !slot->starved) continue;  // cancelled meanwhile
    if ((slot->group == Group::small ? small_left : large_left) == 0) {
      slot->group = slot->group == Group::small ? Group::large : Group::small;
    }
    --(slot->group == Group::small ? small_left : large_left);
    slot->starved = false;
    submit_receive(*slot, handle, false);
  }
}

// --- Completion ---------------------------------------------------------------------------------------------------

void UringDriver::reap() {
  unsigned head;
  unsigned reaped = 0;
  io_uring_cqe* cqe;
  io_uring_for_each_cqe(&ring_, head, cqe) {
    ++reaped;
    reap_one(*cqe);
  }
  io_uring_cq_advance(&ring_, reaped);
}

void UringDriver::reap_one(const io_uring_cqe& cqe) {
  if (cqe.user_data == kNobody) return;
  if (cqe.user_data == kWake) return submit_wake_read();
  Slots::Slot* slot = slots_.find(cqe.user_data);
  if (!slot) return;
  Buffer buffer;
  if ((cqe.flags & IORING_CQE_F_BUFFER) != 0) {
    const auto id = static_cast<uint16_t>(cqe.flags >> IORING_CQE_BUFFER_SHIFT);
    buffer = buffers(slot->group).lend(id, static_cast<size_t>(std::max(cqe.res, 0)));
    if (cqe.res <= 0) buffer = {};  // FIN or an error: back at once
  }
  // An accept waits exclusively (EPOLLEXCLUSIVE): one that was woken and cancelled has kept another proxy, which has the
  // same listener, from being woken. What is there is taken; the accept that does so is cancelled behind its first try.
  if (slot->stopping && cqe.res == -ECANCELED && KernelSockets::connection_waits(slot->fd)) {
    submit_accept(slot->fd, cqe.user_data);
    return submit_cancel(cqe.user_data);
  }
  if (cqe.res == -ENOBUFS && !slot->cancelled && slot->receiving) return on_no_buffers(*slot, cqe.user_data);
  completed(*slot->op, cqe.res, std::move(buffer), (cqe.flags & IORING_CQE_F_MORE) != 0);
}

void UringDriver::on_no_buffers(Operation& slot, uint64_t handle) {
  buffers(slot.group).ran_dry();
  slot.starved = true;
  starved_.push_back(handle);
}

void UringDriver::finish(uint64_t handle, int32_t result, Buffer buffer, bool more) {
  Slots::Slot* slot = slots_.find(handle);
  if (!slot) return;
  Op* op = slot->op;
  if (!more) {
    set_handle(*op, 0);
    slots_.release(handle);
  }
  op->complete(result, std::move(buffer), more);
}

}  // namespace weir::io

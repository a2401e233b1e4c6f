// Starting, cancelling and the turn of epoll.h; what is tried is in epoll_attempt.cc.
#include "nodeproxy/io/epoll.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>

#include "nodeproxy/base/limits.h"

namespace weir::io {

// --- Set-up -------------------------------------------------------------------------------------------------------

Result<std::unique_ptr<Driver>> EpollDriver::open(const Options& options) {
  Result<KernelSockets> sockets = KernelSockets::open(KernelSockets::Mode::non_blocking);
  if (!sockets) return std::unexpected(sockets.error());
  std::unique_ptr<EpollDriver> driver(new EpollDriver(std::move(*sockets)));
  if (const int result = driver->set_up(options); result < 0) {
    return fail_errno(Source::kernel, "epoll", -result);
  }
  return driver;
}

int EpollDriver::set_up(const Options& options) {
  int result = small_.open(options.small_buffers, limits::receive_buffer_small_bytes);
  if (result < 0) return result;
  result = large_.open(options.large_buffers, limits::receive_buffer_large_bytes);
  if (result < 0) return result;
  wake_fd_ = Fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake_fd_) return -errno;
  return watches_.open(wake_fd_.get());
}

EpollDriver::~EpollDriver() {
  if (!slots_.all_free()) std::abort();  // an owner still counts on a completion
}

// --- Start --------------------------------------------------------------------------------------------------------

EpollDriver::Operation& EpollDriver::begin(Op& op, Kind kind, int fd) {
  if (op.in_flight()) std::abort();
  const uint64_t handle = slots_.take(op);
  set_handle(op, handle);
  Operation& operation = *slots_.find(handle);
  operation.kind = kind;
  operation.fd = fd;
  if (fd < 0) operation.error = -EBADF;
  return operation;
}

// `ready`: it may succeed at once, so the next turn tries it; else only an edge can help.
void EpollDriver::start(Op& op, bool ready) {
  const uint64_t handle = handle_of(op);
  Operation& operation = *slots_.find(handle);
  if (ready || operation.error != 0) return make_due(handle, operation);
  wait_for_edge(handle, operation);
}

void EpollDriver::accept(Op& op, int fd) {
  begin(op, Kind::accept, fd);
  KernelSockets::set_non_blocking_listener(fd);
  start(op, true);
}

void EpollDriver::connect(Op& op, int fd, const SocketAddress& to) {
  begin(op, Kind::connect, fd).to = to;
  if (fd >= 0) watches_.of(fd).stream = true;
  start(op, true);
}

void EpollDriver::receive(Op& op, int fd, ReceiveSize size, bool poll_first) {
  begin(op, Kind::receive, fd).size = size;
  if (fd < 0) return start(op, true);
  EpollWatch& watch = watches_.of(fd);
  watch.stream = true;
  if (poll_first && !watch.registered) watch.nothing_to_read();  // registering it tells whether that is so
  start(op, watch.waiting_in == 0 && watch.readable);
}

void EpollDriver::send(Op& op, int fd, std::span<const std::byte> bytes, bool more) {
  Operation& operation = begin(op, Kind::send, fd);
  operation.bytes = bytes;
  operation.more = more;
  if (fd < 0) return start(op, true);
  EpollWatch& watch = watches_.of(fd);
  watch.stream = true;
  start(op, watch.waiting_out == 0 && watch.writable);
}

void EpollDriver::wait_readable(Op& op, int fd) {
  begin(op, Kind::readable, fd);
  start(op, true);
}

void EpollDriver::make_due(uint64_t handle, Operation& operation) {
  operation.place = Place::due;
  due_.push_back(handle);
}

// At the end of its descriptor's chain. Where the kernel refuses to tell of edges the operation ends with that error.
void EpollDriver::wait_for_edge(uint64_t handle, Operation& operation) {
  if (const int result = watches_.watch(operation.fd); result < 0) {
    operation.error = result;
    return make_due(handle, operation);
  }
  operation.place = Place::waiting;
  operation.next = 0;
  uint64_t* link = &chain_of(operation);
  while (*link != 0) link = &slots_.find(*link)->next;
  *link = handle;
}

uint64_t& EpollDriver::chain_of(const Operation& operation) {
  EpollWatch& watch = watches_.of(operation.fd);
  const bool out = operation.kind == Kind::send || operation.kind == Kind::connect;
  return out ? watch.waiting_out : watch.waiting_in;
}

void EpollDriver::unchain(uint64_t handle, Operation& operation) {
  uint64_t* link = &chain_of(operation);
  while (*link != handle) link = &slots_.find(*link)->next;
  *link = operation.next;
}

// The whole chain is due, in its order.
void EpollDriver::wake_chain(uint64_t& head) {
  for (uint64_t handle = std::exchange(head, 0); handle != 0;) {
    Operation& operation = *slots_.find(handle);
    const uint64_t next = operation.next;
    make_due(handle, operation);
    handle = next;
  }
}

// --- Cancel -------------------------------------------------------------------------------------------------------

void EpollDriver::cancel(Op& op) {
  const uint64_t handle = handle_of(op);
  Operation* operation = slots_.find(handle);
  if (!operation || operation->cancelled) return;
  operation->cancelled = true;
  if (operation->place == Place::due || operation->place == Place::ended) return;
  if (operation->place == Place::waiting) unchain(handle, *operation);
  make_due(handle, *operation);
}

// --- Sockets ------------------------------------------------------------------------------------------------------

Result<int> EpollDriver::open_socket(const SocketSpec& spec) {
  Result<int> fd = sockets_.open_socket(spec);
  if (fd) watches_.renew(*fd);
  return fd;
}

// Closing the last descriptor of a file takes it off every epoll instance (epoll(7)).
void EpollDriver::close(int fd) {
  if (fd >= 0) {
    if (!watches_.of(fd).idle()) std::abort();  // "stop → join → close"
    watches_.renew(fd);
  }
  KernelSockets::close(fd);
}

// --- A turn -------------------------------------------------------------------------------------------------------

void EpollDriver::turn(TimePoint until) {
  if (has_ready()) until = now_;
  look(until);
  now_ = Clock::now();
  try_due();
  small_.cool(now_);
  large_.cool(now_);
  timers().run(now_);
  run_ready();
}

// Asks for edges. What is due goes before waiting, and before every second question: an answer to what has just been
// read costs no call in between, and a flow of such answers keeps nobody else from being heard.
void EpollDriver::look(TimePoint until) {
  feed_starved();
  if (!due_.empty() && std::exchange(looked_, false)) return;
  looked_ = true;
  until = std::min(until, timers().next());
  now_ = Clock::now();
  int timeout_ms = -1;
  if (!due_.empty() || until <= now_) {
    timeout_ms = 0;
  } else if (until != kNever) {
    const auto left_ms = std::chrono::ceil<std::chrono::milliseconds>(until - now_).count();
    timeout_ms = static_cast<int>(std::min<int64_t>(left_ms, INT32_MAX));
  }
  for (const epoll_event& event : watches_.wait(timeout_ms)) {
    const auto fd = watches_.take(event);
    if (!fd) continue;
    EpollWatch& watch = watches_.of(*fd);
    if (watch.readable) wake_chain(watch.waiting_in);
    if (watch.writable) wake_chain(watch.waiting_out);
  }
}

void EpollDriver::wake() {
  const uint64_t one = 1;
  // Fails only when the counter is full, which takes centuries.
  [[maybe_unused]] const ssize_t written = ::write(wake_fd_.get(), &one, sizeof one);
}

// As many starved receives as there are buffers, oldest first.
void EpollDriver::feed_starved() {
  size_t buffers = small_.available() + large_.available();
  while (buffers > 0 && !starved_.empty()) {
    const uint64_t handle = starved_.front();
    starved_.pop_front();
    Operation* operation = slots_.find(handle);
    if (!operation || operation->place != Place::starved) continue;  // cancelled meanwhile
    make_due(handle, *operation);
    --buffers;
  }
}

// What becomes due while these are tried waits for the next turn, so that no turn is endless.
void EpollDriver::try_due() {
  for (size_t left = due_.size(); left > 0; --left) {
    const uint64_t handle = due_.front();
    due_.pop_front();
    attempt(handle);
  }
}

}  // namespace weir::io

// The driver of sim.h: an operation is started, attempted (perhaps often), executed once, and completed later.
#include "nodeproxy/io/sim.h"

#include <algorithm>
#include <cerrno>

#include "nodeproxy/base/limits.h"
#include "nodeproxy/io/sim_descriptor.h"

namespace weir::io {
namespace {

constexpr uint32_t kHalf = 500'000;  // per million
constexpr uint32_t kTooLateToCancel = 300'000;

std::unexpected<Error> errno_error(int os_code) {
  return fail(Source::kernel, reason_of_errno(os_code), os_code);
}

// All of it half of the time, else a random part.
size_t cut(SimRandom& random, size_t bytes) {
  return bytes <= 1 || random.chance(kHalf) ? bytes : random.between(1, bytes);
}

}  // namespace

// --- Start and cancel ---------------------------------------------------------------------------------------------

void SimDriver::start(Op& op, Pending pending) {
  if (op.in_flight()) std::abort();
  if (Descriptor* descriptor = mine(pending.fd, "an operation on")) ++descriptor->in_flight;
  const uint64_t handle = ++next_handle_;
  pending.op = &op;
  set_handle(op, handle);
  pending_.emplace(handle, pending);
  attempt_later(handle);
}

void SimDriver::receive(Op& op, int fd, ReceiveSize size, bool) {
  const size_t bytes =
      size == ReceiveSize::small ? limits::receive_buffer_small_bytes : limits::receive_buffer_large_bytes;
  start(op, {.kind = Kind::receive, .fd = fd, .size = bytes});
}

void SimDriver::cancel(Op& op) {
  const uint64_t handle = handle_of(op);
  const auto found = pending_.find(handle);
  if (found == pending_.end() || found->second.cancelled) return;
  found->second.cancelled = true;
  world_.network_.at(world_.network_.moment(), [this, handle] {
    // It may still take effect just before the cancel reaches it.
    if (world_.network_.random.chance(kTooLateToCancel)) attempt(handle);
    const auto late = pending_.find(handle);
    if (late != pending_.end() && !late->second.executed) complete_later(handle, -ECANCELED, {}, false);
  });
}

// --- Effect -------------------------------------------------------------------------------------------------------

void SimDriver::attempt_later(uint64_t handle) {
  world_.network_.at(world_.network_.moment(), [this, handle] { attempt(handle); });
}

void SimDriver::attempt(uint64_t handle) {
  const auto found = pending_.find(handle);
  if (found == pending_.end() || found->second.executed) return;
  Pending& pending = found->second;
  Descriptor* descriptor = world_.find(pending.fd);
  if (!descriptor || descriptor->driver != this) return complete_later(handle, -EBADF, {}, false);
  if (const int32_t error = fault(pending, *descriptor); error != 0)
    return complete_later(handle, error, {}, false);
  Buffer buffer;
  const int64_t result = try_once(pending, *descriptor, buffer);
  if (result == -EAGAIN) {
    if (std::find(descriptor->waiting.begin(), descriptor->waiting.end(), handle) ==
        descriptor->waiting.end()) {
      descriptor->waiting.push_back(handle);
    }
    return;
  }
  const bool more = pending.kind == Kind::accept && result >= 0 &&
                    !world_.network_.random.chance(world_.faults_.accept_ends);
  complete_later(handle, static_cast<int32_t>(result), std::move(buffer), more);
  if (more) attempt_later(handle);
}

int64_t SimDriver::try_once(Pending& pending, Descriptor& descriptor, Buffer& buffer) {
  switch (pending.kind) {
    case Kind::accept: return try_accept(descriptor);
    case Kind::connect: return try_connect(pending, descriptor);
    case Kind::receive: return try_receive(pending, descriptor, buffer);
    case Kind::send: return try_send(pending, descriptor);
    case Kind::readable: break;
  }
  if (descriptor.state == Descriptor::State::listening)
    return descriptor.listener.queue.empty() ? -EAGAIN : 1;
  if (descriptor.state != Descriptor::State::connected) return -EAGAIN;
  return world_.network_.readable(descriptor.end) ? 1 : -EAGAIN;
}

int64_t SimDriver::try_accept(Descriptor& descriptor) {
  if (descriptor.state != Descriptor::State::listening) return -EINVAL;
  if (descriptor.listener.queue.empty()) return -EAGAIN;
  const SimEnd end = descriptor.listener.queue.front();
  descriptor.listener.queue.pop_front();
  const int fd = world_.add_descriptor(*this);
  Descriptor& accepted = *world_.find(fd);
  accepted.state = Descriptor::State::connected;
  accepted.end = end;
  world_.network_.observe(end, &accepted);
  return fd;
}

int64_t SimDriver::try_connect(Pending& pending, Descriptor& descriptor) {
  using State = Descriptor::State;
  if (descriptor.state == State::connected) return pending.to == descriptor.dialled ? 0 : -EISCONN;
  if (descriptor.state == State::dialling) return -EAGAIN;
  if (descriptor.state == State::answered) {
    descriptor.state = State::fresh;
    return -descriptor.connect_error;
  }
  if (descriptor.bind.ip.is_unspecified()) descriptor.bind.ip = ip_;
  if (descriptor.bind.port == 0) descriptor.bind.port = world_.next_port();
  descriptor.dialled = pending.to;
  if (!world_.tuples_.emplace(descriptor.bind, pending.to).second) {
    descriptor.dialled = {};
    return -EADDRNOTAVAIL;
  }
  descriptor.state = State::dialling;
  const auto done = [world = &world_, fd = pending.fd, birth = descriptor.birth](int error, SimEnd end) {
    Descriptor* dialler = world->find(fd);
    if (!dialler || dialler->birth != birth) {  // closed meanwhile
      if (error == 0) world->network_.close(end, true);
      return;
    }
    dialler->state = error == 0 ? State::connected : State::answered;
    dialler->connect_error = error;
    dialler->end = end;
    if (error == 0) world->network_.observe(end, dialler);
    if (error != 0) world->tuples_.erase({dialler->bind, dialler->dialled});
    dialler->on_network();
  };
  world_.network_.dial({.from = descriptor.bind, .to = pending.to, .node = node_}, done);
  return -EAGAIN;
}

int64_t SimDriver::try_receive(Pending& pending, Descriptor& descriptor, Buffer& buffer) {
  if (descriptor.state != Descriptor::State::connected) return -ENOTCONN;
  const size_t bytes_max = cut(world_.network_.random, pending.size);
  auto* memory = static_cast<std::byte*>(::operator new(pending.size));
  const int64_t got = world_.network_.receive(descriptor.end, memory, bytes_max);
  if (got <= 0) {
    ::operator delete(memory);
  } else {
    ++on_loan_;
    buffer = Buffer(this, memory, 0, static_cast<size_t>(got));
  }
  return got;
}

int64_t SimDriver::try_send(Pending& pending, Descriptor& descriptor) {
  if (descriptor.state != Descriptor::State::connected) return -EPIPE;
  return world_.network_.send(descriptor.end, pending.bytes.data(),
                              cut(world_.network_.random, pending.bytes.size()));
}

// Returns −errno when a fault strikes this attempt, else 0.
int32_t SimDriver::fault(Pending& pending, Descriptor& descriptor) {
  SimNetwork& network = world_.network_;
  static constexpr int kAccept[] = {EMFILE, ENFILE, ENOBUFS, ENOMEM, ECONNABORTED};
  static constexpr int kConnect[] = {ECONNREFUSED, ETIMEDOUT, EHOSTUNREACH,
                                     ENETUNREACH,  ENOMEM,    EADDRNOTAVAIL};
  static constexpr int kReceive[] = {ECONNRESET, ETIMEDOUT, ENOMEM};
  static constexpr int kSend[] = {ECONNRESET, EPIPE, ETIMEDOUT, ENOMEM, ENOBUFS};
  static constexpr int kReadable[] = {ENOMEM};
  static constexpr std::span<const int> kErrors[] = {kAccept, kConnect, kReceive, kSend, kReadable};
  const auto kind = static_cast<size_t>(pending.kind);
  int error = world_.forced(static_cast<SimWorld::Step>(kind));
  if (error == 0 && network.random.chance(world_.faults_.error)) {
    error = kErrors[kind][network.random.below(kErrors[kind].size())];
  }
  const bool connected = descriptor.state == Descriptor::State::connected;
  if (connected && network.random.chance(world_.faults_.reset)) {
    network.break_connection(descriptor.end, ECONNRESET, ECONNRESET);  // seen by this attempt or a later one
  }
  // These are the connection's end, whoever hears of it first.
  if (connected && (error == ECONNRESET || error == EPIPE || error == ETIMEDOUT)) {
    network.break_connection(descriptor.end, ECONNRESET, ECONNRESET);
  }
  return -error;
}

// --- Completion ---------------------------------------------------------------------------------------------------

void SimDriver::complete_later(uint64_t handle, int32_t result, Buffer buffer, bool more) {
  pending_.at(handle).executed = !more;
  Clock::duration delay = world_.network_.moment();
  // Not before what the same operation said earlier (a multishot accept): else both would wait for ever.
  for (const Completion& earlier : completions_) {
    if (earlier.handle == handle) delay = std::max(delay, earlier.due - world_.now());
  }
  completions_.push_back({handle, world_.now() + delay, result, std::move(buffer), more});
  world_.network_.at(delay, [] {});  // so that the clock stops there
}

// Some of what is due, in random order; what one operation has to say stays in order.
void SimDriver::deliver() {
  SimRandom& random = world_.network_.random;
  for (uint64_t left = random.between(1, 16); left > 0; --left) {
    std::vector<size_t> due;
    for (size_t i = 0; i < completions_.size(); ++i) {
      const auto same = [&](const Completion& earlier) { return earlier.handle == completions_[i].handle; };
      const auto here = completions_.begin() + static_cast<std::ptrdiff_t>(i);
      if (here->due <= world_.now() && std::none_of(completions_.begin(), here, same)) due.push_back(i);
    }
    if (due.empty()) return;
    const auto at = completions_.begin() + static_cast<std::ptrdiff_t>(due[random.below(due.size())]);
    Completion completion = std::move(*at);
    completions_.erase(at);
    completed(*pending_.at(completion.handle).op, completion.result, std::move(completion.buffer),
              completion.more);
  }
}

void SimDriver::finish(uint64_t handle, int32_t result, Buffer buffer, bool more) {
  const auto found = pending_.find(handle);
  Op* op = found->second.op;
  if (!more) {
    if (Descriptor* descriptor = world_.find(found->second.fd)) {
      --descriptor->in_flight;
      std::erase(descriptor->waiting, handle);
    }
    pending_.erase(found);
    set_handle(*op, 0);
  }
  op->complete(result, std::move(buffer), more);
}

// Nothing takes virtual time; what is done is said to have taken some, so that accounts change and turns end early.
TimePoint SimDriver::read_clock() {
  return now() + std::chrono::nanoseconds(world_.network_.random.below(
                     static_cast<uint64_t>(std::chrono::nanoseconds(limits::turn_max).count() * 11 / 10)));
}

void SimDriver::give_back(std::byte* memory, uint32_t) {
  --on_loan_;
  ::operator delete(memory);
}

// --- Turns --------------------------------------------------------------------------------------------------------

bool SimDriver::has_work() {
  const TimePoint now = world_.now();
  return has_ready() || woken_.load() || timers().next() <= now ||
         std::any_of(completions_.begin(), completions_.end(),
                     [&](const Completion& c) { return c.due <= now; });
}

void SimDriver::turn(TimePoint until) {
  if (has_ready()) until = now();
  world_.wait_for(*this, until);
  poll();
}

void SimDriver::poll() {
  woken_.store(false);
  deliver();
  timers().run(now());
  run_ready();
}

TimePoint SimDriver::now() const { return world_.now(); }

// --- Sockets ------------------------------------------------------------------------------------------------------

SimDriver::Descriptor* SimDriver::mine(int fd, const char* what) {
  Descriptor* descriptor = world_.find(fd);
  if (descriptor && descriptor->driver == this) return descriptor;
  world_.broken(std::string(what) + " descriptor " + std::to_string(fd) + ", which is not open here");
  return nullptr;
}

Result<int> SimDriver::open_socket(const SocketSpec& spec) {
  static constexpr int kErrors[] = {EMFILE, ENFILE, ENOMEM, ENOBUFS, EADDRINUSE, EADDRNOTAVAIL};
  if (const int error = world_.forced(SimWorld::Step::open_socket); error != 0) return errno_error(error);
  if (world_.network_.random.chance(world_.faults_.open_error)) {
    return errno_error(kErrors[world_.network_.random.below(std::size(kErrors))]);
  }
  const int fd = world_.add_descriptor(*this);
  Descriptor& descriptor = *world_.find(fd);
  descriptor.bind = spec.bind;
  descriptor.reset_on_close = spec.reset_on_close;
  return fd;
}

Result<SocketAddress> SimDriver::local_address(int fd) {
  const Descriptor* descriptor = mine(fd, "local_address of");
  if (!descriptor) return errno_error(EBADF);
  if (descriptor->state == Descriptor::State::listening) return descriptor->listener.address;
  if (descriptor->state == Descriptor::State::connected) return world_.network_.local(descriptor->end);
  return descriptor->bind;
}

Result<SocketAddress> SimDriver::peer_address(int fd) {
  const Descriptor* descriptor = mine(fd, "peer_address of");
  if (!descriptor) return errno_error(EBADF);
  if (descriptor->state != Descriptor::State::connected) return errno_error(ENOTCONN);
  return world_.network_.peer(descriptor->end);
}

void SimDriver::shutdown_write(int fd) {
  const Descriptor* descriptor = mine(fd, "shutdown of");
  if (descriptor && descriptor->state == Descriptor::State::connected) {
    world_.network_.shutdown_write(descriptor->end);
  }
}

bool SimDriver::broken(int fd) {
  const Descriptor* descriptor = mine(fd, "state of");
  return descriptor && descriptor->state == Descriptor::State::connected &&
         world_.network_.broken(descriptor->end);
}

bool SimDriver::undelivered(int fd) {
  const Descriptor* descriptor = mine(fd, "state of");
  return descriptor && descriptor->state == Descriptor::State::connected &&
         world_.network_.undelivered(descriptor->end);
}

void SimDriver::set_reset_on_close(int fd, bool on) {
  if (Descriptor* descriptor = mine(fd, "set_reset_on_close of")) descriptor->reset_on_close = on;
}

void SimDriver::set_no_delay(int fd) { mine(fd, "set_no_delay of"); }

void SimDriver::set_user_timeout(int fd, int) { mine(fd, "set_user_timeout of"); }

void SimDriver::set_keepalive(int fd) { mine(fd, "set_keepalive of"); }

int64_t SimDriver::descriptors_beyond(int) { return world_.descriptors_beyond_; }

void SimDriver::close(int fd) {
  Descriptor* descriptor = mine(fd, "close of");
  if (!descriptor) return;
  if (descriptor->in_flight != 0) {
    world_.broken("descriptor " + std::to_string(fd) + " closed with an operation in flight on it");
  }
  if (descriptor->state == Descriptor::State::listening) {
    world_.network_.remove_listener(descriptor->listener);
  } else if (descriptor->state == Descriptor::State::connected) {
    world_.network_.close(descriptor->end, descriptor->reset_on_close);
  }
  if (descriptor->dialled.port != 0) world_.tuples_.erase({descriptor->bind, descriptor->dialled});
  world_.free_fds_.push_back(fd);
  world_.descriptors_.erase(fd);
}

}  // namespace weir::io

// What the epoll driver tries of each kind of operation, once, without waiting. See epoll.h.
#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <utility>

#include "nodeproxy/base/limits.h"
#include "nodeproxy/io/epoll.h"

namespace weir::io {
namespace {

constexpr int kAcceptsPerTurn =
    64;  // of one listener, so that a flood of connections leaves the others their turn

}  // namespace

void EpollDriver::attempt(uint64_t handle) {
  Operation* operation = slots_.find(handle);
  if (!operation) return;
  operation->place = Place::running;
  if (operation->cancelled) return end(handle, -ECANCELED, {});
  if (operation->error != 0) return end(handle, operation->error, {});
  if (operation->kind == Kind::accept) return attempt_accepts(handle);
  Buffer buffer;
  const int32_t result = attempt_once(*operation, buffer);
  if (operation->place == Place::starved) {
    starved_.push_back(handle);
  } else if (result == -EAGAIN) {
    wait_for_edge(handle, *operation);
  } else {
    end(handle, result, std::move(buffer));
  }
}

int32_t EpollDriver::attempt_once(Operation& operation, Buffer& buffer) {
  switch (operation.kind) {
    case Kind::connect: return attempt_connect(operation);
    case Kind::receive: return attempt_receive(operation, buffer);
    case Kind::send: return attempt_send(operation);
    case Kind::readable:
    case Kind::accept: break;
  }
  return attempt_readable(operation);
}

// One operation, many connections: it ends by an error or by being cancelled.
void EpollDriver::attempt_accepts(uint64_t handle) {
  Slots::Slot& slot = *slots_.find(handle);
  for (int i = 0; i < kAcceptsPerTurn; ++i) {
    const int fd = ::accept4(slot.fd, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0 && errno == EAGAIN) {
      watches_.of(slot.fd).nothing_to_read();
      return wait_for_edge(handle, slot);
    }
    if (fd < 0) return end(handle, -errno, {});
    watches_.renew(fd);
    completed(*slot.op, fd, {}, true);
  }
  make_due(handle, slot);
}

// Asked again after the first time connect(2) says how it went: 0, EALREADY while it goes on, or the error.
int32_t EpollDriver::attempt_connect(Operation& operation) {
  sockaddr_storage to{};
  const socklen_t length = operation.to.to_sockaddr(to);
  if (::connect(operation.fd, reinterpret_cast<const sockaddr*>(&to), length) == 0) return 0;
  if (errno != EINPROGRESS && errno != EALREADY) return -errno;
  EpollWatch& watch = watches_.of(operation.fd);  // registered before anything can come: the edges tell all
  watch.no_room_to_write();
  watch.nothing_to_read();
  return -EAGAIN;
}

int32_t EpollDriver::attempt_receive(Operation& operation, Buffer& buffer) {
  BufferSlab* slab = slab_for(operation.size);
  if (!slab) {
    operation.place = Place::starved;
    return -EAGAIN;
  }
  const uint16_t id = slab->take();
  const std::span<std::byte> space = slab->space(id);
  const ssize_t got = ::recv(operation.fd, space.data(), space.size(), MSG_DONTWAIT);
  if (got <= 0) {
    const int error = got < 0 ? errno : 0;
    slab->put_back(id);
    if (error == EAGAIN) watches_.of(operation.fd).nothing_to_read();
    return -error;
  }
  const auto size = static_cast<size_t>(got);
  if (size < space.size()) watches_.of(operation.fd).read_short();
  buffer = slab->lend(id, size);
  return static_cast<int32_t>(size);
}

int32_t EpollDriver::attempt_send(Operation& operation) {
  const int flags = MSG_DONTWAIT | MSG_NOSIGNAL | (operation.more ? MSG_MORE : 0);
  const ssize_t sent = ::send(operation.fd, operation.bytes.data(), operation.bytes.size(), flags);
  if (sent < 0) {
    if (errno == EAGAIN) watches_.of(operation.fd).no_room_to_write();
    return -errno;
  }
  if (static_cast<size_t>(sent) < operation.bytes.size()) watches_.of(operation.fd).wrote_short();
  return static_cast<int32_t>(sent);
}

// What the watch remembers is about bytes that were read here; somebody else may read this one. So: the kernel's word.
int32_t EpollDriver::attempt_readable(Operation& operation) {
  pollfd question{.fd = operation.fd, .events = POLLIN, .revents = 0};
  const int ready = ::poll(&question, 1, 0);
  if (ready < 0) return -errno;
  return ready == 0 ? -EAGAIN : question.revents;
}

// Of the size asked for, or where none is left of the other. Null: none at all.
BufferSlab* EpollDriver::slab_for(ReceiveSize size) {
  BufferSlab& wanted = size == ReceiveSize::small ? small_ : large_;
  BufferSlab& other = size == ReceiveSize::small ? large_ : small_;
  if (!wanted.empty()) return &wanted;
  return other.empty() ? nullptr : &other;
}

void EpollDriver::end(uint64_t handle, int32_t result, Buffer buffer) {
  Slots::Slot& slot = *slots_.find(handle);
  slot.place = Place::ended;
  completed(*slot.op, result, std::move(buffer), false);
}

// What is not a connection may be closed by others, or be open elsewhere too: its registration ends with its last
// operation.
void EpollDriver::finish(uint64_t handle, int32_t result, Buffer buffer, bool more) {
  Slots::Slot& slot = *slots_.find(handle);
  Op* op = slot.op;
  if (more) return op->complete(result, std::move(buffer), true);
  const int fd = slot.fd;
  set_handle(*op, 0);
  slots_.release(handle);
  if (fd >= 0) {
    const EpollWatch& watch = watches_.of(fd);
    if (!watch.stream && watch.idle()) watches_.forget(fd);
  }
  op->complete(result, std::move(buffer), false);
}

}  // namespace weir::io

#pragma once
// The synchronous half of a driver that stands on a real kernel: sockets made in a pod's network namespace with every
// option of capture.md "The proxy's sockets", their addresses, shutdown and close. Shared by the drivers.
// For io_uring sockets are left in blocking mode: it arms a poll itself for those, but hands −EAGAIN of an O_NONBLOCK
// descriptor straight to us. For epoll they must not block: connect(2) and accept(2) can be told in no other way.
// Thread: one worker each (setns acts on the calling thread). Lifetime: the driver's.
#include "nodeproxy/base/descriptors.h"
#include "nodeproxy/base/fd.h"
#include "nodeproxy/io/driver.h"

namespace weir::io {

class KernelSockets {
 public:
  enum class Mode : uint8_t { blocking, non_blocking };

  // Keeps a descriptor of the calling thread's network namespace, to come back to.
  static Result<KernelSockets> open(Mode mode);

  // A TCP socket, close-on-exec, TCP_NODELAY. Enters spec.netns_fd around socket(2) only (1.2 µs a pair); aborts when
  // the thread cannot come back, since everything made later would belong to the wrong pod. Errors: reason_of_errno.
  Result<int> open_socket(const SocketSpec& spec);

  // IPv4 peers of a dual-stack socket come back as IPv4.
  static Result<SocketAddress> local_address(int fd);
  static Result<SocketAddress> peer_address(int fd);
  static void shutdown_write(int fd);
  static bool broken(int fd);
  static bool undelivered(int fd);
  static bool connection_waits(int listener);  // to be accepted, now
  static void set_reset_on_close(int fd, bool on);
  static void set_no_delay(int fd);
  static void set_user_timeout(int fd, int user_timeout_ms);
  static void set_keepalive(int fd);
  static void set_blocking(int fd);
  // A listener is shared: another proxy, on io_uring, may make it block again. Then an accept that finds nobody returns
  // after a moment all the same.
  static void set_non_blocking_listener(int fd);
  static void close(int fd);

 private:
  KernelSockets(Fd home, Mode mode) : home_(std::move(home)), mode_(mode) {}
  Result<int> make_socket(const SocketSpec& spec, int family);
  Fd home_;  // the worker's own namespace
  Mode mode_;
};

// What is the same for every driver on a real kernel: its time, and the calls that never wait.
class KernelDriver : public Driver {
 public:
  Result<SocketAddress> local_address(int fd) override { return KernelSockets::local_address(fd); }
  Result<SocketAddress> peer_address(int fd) override { return KernelSockets::peer_address(fd); }
  void shutdown_write(int fd) override { KernelSockets::shutdown_write(fd); }
  bool broken(int fd) override { return KernelSockets::broken(fd); }
  bool undelivered(int fd) override { return KernelSockets::undelivered(fd); }
  void set_reset_on_close(int fd, bool on) override { KernelSockets::set_reset_on_close(fd, on); }
  void set_no_delay(int fd) override { KernelSockets::set_no_delay(fd); }
  void set_user_timeout(int fd, int ms) override { KernelSockets::set_user_timeout(fd, ms); }
  void set_keepalive(int fd) override { KernelSockets::set_keepalive(fd); }
  int64_t descriptors_beyond(int fd) override { return weir::descriptors_beyond(fd); }

 protected:
  TimePoint read_clock() final { return Clock::now(); }
};

}  // namespace weir::io

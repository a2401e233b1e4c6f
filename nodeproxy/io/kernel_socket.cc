// Socket options in the order that bind(2) needs them. See kernel_socket.h.
#include "nodeproxy/io/kernel_socket.h"

#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>

#include "nodeproxy/base/limits.h"

namespace weir::io {
namespace {

bool set(int fd, int level, int option, int value) {
  return ::setsockopt(fd, level, option, &value, sizeof value) == 0;
}

// Keepalive probes a quarter of the user time-out apart; when to give up is TCP_USER_TIMEOUT's (tcp(7)).
bool set_dead_peer_detection(int fd, int user_timeout_ms) {
  const int probe_s = std::max(1, user_timeout_ms / 4000);
  return set(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, user_timeout_ms) && set(fd, SOL_SOCKET, SO_KEEPALIVE, 1) &&
         set(fd, IPPROTO_TCP, TCP_KEEPIDLE, probe_s) && set(fd, IPPROTO_TCP, TCP_KEEPINTVL, probe_s);
}

bool set_probes(int fd) {
  return set(fd, SOL_SOCKET, SO_KEEPALIVE, 1) &&
         set(fd, IPPROTO_TCP, TCP_KEEPIDLE, limits::keepalive_idle_s) &&
         set(fd, IPPROTO_TCP, TCP_KEEPINTVL, limits::keepalive_interval_s) &&
         set(fd, IPPROTO_TCP, TCP_KEEPCNT, limits::keepalive_probes);
}

bool set_options(int fd, const SocketSpec& spec, int family) {
  const bool bound = !spec.bind.ip.is_unspecified();
  if (spec.transparent) {
    const bool ok = family == AF_INET ? set(fd, IPPROTO_IP, IP_TRANSPARENT, 1)
                                      : set(fd, IPPROTO_IPV6, IPV6_TRANSPARENT, 1);
    if (!ok) return false;
  }
  if (spec.mark != 0 && !set(fd, SOL_SOCKET, SO_MARK, static_cast<int>(spec.mark))) return false;
  if (spec.bind.port != 0 && !set(fd, SOL_SOCKET, SO_REUSEADDR, 1)) return false;
  // The port is then chosen at connect, unique by 4-tuple and not by address alone.
  if (bound && spec.bind.port == 0 && !set(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)) return false;
  if (spec.user_timeout_ms > 0 && !set_dead_peer_detection(fd, spec.user_timeout_ms)) return false;
  if (spec.keepalive && !set_probes(fd)) return false;
  if (spec.notsent_lowat_bytes > 0 && !set(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, spec.notsent_lowat_bytes)) {
    return false;
  }
  if (spec.reset_on_close) KernelSockets::set_reset_on_close(fd, true);
  return set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
}

std::unexpected<Error> socket_error(int os_code) {
  return fail(Source::kernel, reason_of_errno(os_code), os_code);
}

}  // namespace

Result<KernelSockets> KernelSockets::open(Mode mode) {
  Fd home(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
  if (!home) return fail_errno(Source::kernel, "opening /proc/thread-self/ns/net", errno);
  return KernelSockets(std::move(home), mode);
}

Result<int> KernelSockets::make_socket(const SocketSpec& spec, int family) {
  const int type = SOCK_STREAM | SOCK_CLOEXEC | (mode_ == Mode::non_blocking ? SOCK_NONBLOCK : 0);
  int fd;
  if (spec.netns_fd < 0) {
    fd = ::socket(family, type, IPPROTO_TCP);
    if (fd < 0) return socket_error(errno);
    return fd;
  }
  if (::setns(spec.netns_fd, CLONE_NEWNET) != 0) return socket_error(errno);
  fd = ::socket(family, type, IPPROTO_TCP);
  const int os_code = errno;
  if (::setns(home_.get(), CLONE_NEWNET) != 0) std::abort();
  if (fd < 0) return socket_error(os_code);
  return fd;
}

Result<int> KernelSockets::open_socket(const SocketSpec& spec) {
  const bool bound = !spec.bind.ip.is_unspecified() || spec.bind.port != 0;
  const bool v4 = spec.bind.ip.is_unspecified() ? !spec.v6 : spec.bind.ip.is_v4();
  const int family = v4 ? AF_INET : AF_INET6;
  const Result<int> made = make_socket(spec, family);
  if (!made) return made;
  Fd fd(*made);
  if (descriptors_beyond(fd.get()) < limits::reserved_descriptors) return socket_error(EMFILE);
  if (!set_options(fd.get(), spec, family)) return socket_error(errno);
  if (bound) {
    sockaddr_storage address{};
    socklen_t length = spec.bind.to_sockaddr(address);
    if (spec.bind.ip.is_unspecified()) {
      address = {};
      address.ss_family = static_cast<sa_family_t>(family);
      length = v4 ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
      // sin_port and sin6_port stand at the same place.
      reinterpret_cast<sockaddr_in*>(&address)->sin_port = htons(spec.bind.port);
    }
    if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), length) != 0)
      return socket_error(errno);
  }
  return fd.release();
}

Result<SocketAddress> KernelSockets::local_address(int fd) {
  sockaddr_storage address{};
  socklen_t length = sizeof address;
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length) != 0) return socket_error(errno);
  const auto parsed = SocketAddress::from_sockaddr(reinterpret_cast<const sockaddr*>(&address), length);
  if (!parsed) return socket_error(EAFNOSUPPORT);
  return *parsed;
}

Result<SocketAddress> KernelSockets::peer_address(int fd) {
  sockaddr_storage address{};
  socklen_t length = sizeof address;
  if (::getpeername(fd, reinterpret_cast<sockaddr*>(&address), &length) != 0) return socket_error(errno);
  const auto parsed = SocketAddress::from_sockaddr(reinterpret_cast<const sockaddr*>(&address), length);
  if (!parsed) return socket_error(EAFNOSUPPORT);
  return *parsed;
}

// The setters below fail only when the connection is gone already, which the next operation on it reports.
void KernelSockets::shutdown_write(int fd) { ::shutdown(fd, SHUT_WR); }

// After a FIN of the peer alone the state is CLOSE_WAIT; after a RST, CLOSE (tcp(7), TCP_INFO).
bool KernelSockets::broken(int fd) {
  tcp_info info{};
  socklen_t length = sizeof info;
  return ::getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length) == 0 && info.tcpi_state == TCP_CLOSE;
}

bool KernelSockets::undelivered(int fd) {
  int bytes = 0;
  return ::ioctl(fd, SIOCOUTQ, &bytes) == 0 && bytes > 0;
}

bool KernelSockets::connection_waits(int listener) {
  pollfd waiting{.fd = listener, .events = POLLIN, .revents = 0};
  return ::poll(&waiting, 1, 0) == 1 && (waiting.revents & POLLIN) != 0;
}

void KernelSockets::set_reset_on_close(int fd, bool on) {
  const linger value{.l_onoff = on ? 1 : 0, .l_linger = 0};
  ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &value, sizeof value);
}

void KernelSockets::set_no_delay(int fd) { set(fd, IPPROTO_TCP, TCP_NODELAY, 1); }

void KernelSockets::set_user_timeout(int fd, int user_timeout_ms) {
  set_dead_peer_detection(fd, user_timeout_ms);
}

void KernelSockets::set_keepalive(int fd) { set_probes(fd); }

void KernelSockets::set_blocking(int fd) {
  const int flags = ::fcntl(fd, F_GETFL);
  if (flags >= 0 && (flags & O_NONBLOCK) != 0) ::fcntl(fd, F_SETFL, flags & ~O_NONBLOCK);
}

void KernelSockets::set_non_blocking_listener(int fd) {
  const int flags = ::fcntl(fd, F_GETFL);
  if (flags >= 0 && (flags & O_NONBLOCK) == 0) ::fcntl(fd, F_SETFL, flags | O_NONBLOCK);
  const timeval moment{.tv_sec = 0, .tv_usec = 1};  // rounded up to a tick
  ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &moment, sizeof moment);
}

void KernelSockets::close(int fd) { ::close(fd); }

}  // namespace weir::io

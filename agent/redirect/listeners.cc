// Opening the listener groups: the port is chosen once per pod and then kept, because it is a constant of the pod's
// sk_lookup program and a guarded port of bind4/6. Runs on a visit's thread, inside the pod's namespace.
#include "agent/redirect/listeners.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <string>

#include "bpf/abi.h"
#include "nodeproxy/base/limits.h"

namespace weir::agent::redirect {
namespace {

sockaddr_in6 address_of(Direction direction, uint16_t port) {
  sockaddr_in6 address{};
  address.sin6_family = AF_INET6;
  address.sin6_port = htons(port);
  address.sin6_addr.s6_addr[10] = 0xff;
  address.sin6_addr.s6_addr[11] = 0xff;
  address.sin6_addr.s6_addr[12] = 127;
  address.sin6_addr.s6_addr[15] = direction == Direction::outbound ? 1 : 2;
  return address;
}

Result<Fd> open_listener(Direction direction, uint16_t port) {
  Fd fd(::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP));
  if (!fd) return fail_errno(Source::kernel, "cannot make a listener's socket", errno);
  int on = 1, off = 0;
  if (::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) < 0 ||
      ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) < 0 ||
      // Accepted sockets carry the application's own port and inherit this: without it an application that starts
      // again while a lane to its port lives could not bind.
      ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
      ::setsockopt(fd.get(), IPPROTO_IP, IP_TRANSPARENT, &on, sizeof(on)) < 0 ||
      ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_TRANSPARENT, &on, sizeof(on)) < 0)
    return fail_errno(Source::kernel, "cannot set a listener's options", errno);
  sockaddr_in6 address = address_of(direction, port);
  if (::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) < 0 ||
      ::listen(fd.get(), limits::listen_backlog) < 0)
    return fail_errno(Source::kernel, "cannot listen on port " + std::to_string(port), errno);
  return fd;
}

Result<std::vector<Fd>> open_group(Direction direction, uint16_t port, unsigned members) {
  std::vector<Fd> group;
  for (unsigned i = 0; i < members; ++i) {
    auto listener = open_listener(direction, port);
    if (!listener) return std::unexpected(listener.error());
    group.push_back(std::move(*listener));
  }
  return group;
}

// Whether some process of the pod has the port: SO_REUSEPORT would let a root process and Weir share it.
bool taken(uint16_t port) {
  for (Direction direction : {Direction::outbound, Direction::inbound}) {
    Fd fd(::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP));
    int off = 0;
    ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
    sockaddr_in6 address = address_of(direction, port);
    if (::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) < 0) return true;
  }
  return false;
}

Result<uint16_t> free_port() {
  unsigned first = 0, last = 0;
  std::ifstream range("/proc/sys/net/ipv4/ip_local_port_range");
  range >> first >> last;
  for (unsigned port = WEIR_LISTENER_PORT; port < WEIR_LISTENER_PORT + WEIR_LISTENER_PORTS_MAX; ++port)
    if ((port < first || port > last) && !taken(static_cast<uint16_t>(port)))
      return static_cast<uint16_t>(port);
  return fail(Source::kernel, Reason::ports_exhausted, "no free port for the pod's listeners");
}

}  // namespace

Result<ListenerGroups> open_listeners(uint16_t port, unsigned members) {
  if (port == 0) {
    auto found = free_port();
    if (!found) return std::unexpected(found.error());
    port = *found;
  }
  auto outbound = open_group(Direction::outbound, port, members);
  if (!outbound) return std::unexpected(outbound.error());
  auto inbound = open_group(Direction::inbound, port, members);
  if (!inbound) return std::unexpected(inbound.error());
  return ListenerGroups{.port = port, .outbound = std::move(*outbound), .inbound = std::move(*inbound)};
}

Status check_listener(int fd, Direction direction, uint16_t port, uint64_t netns_cookie) {
  int accepts = 0;
  uint64_t cookie = 0;
  sockaddr_in6 address{}, wanted = address_of(direction, port);
  socklen_t accepts_length = sizeof(accepts), cookie_length = sizeof(cookie), length = sizeof(address);
  if (::getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &accepts, &accepts_length) < 0 ||
      ::getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &cookie_length) < 0 ||
      ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length) < 0)
    return fail_errno(Source::agent, "not a listener's descriptor", errno);
  if (!accepts || cookie != netns_cookie || address.sin6_family != AF_INET6 ||
      address.sin6_port != wanted.sin6_port ||
      std::memcmp(&address.sin6_addr, &wanted.sin6_addr, sizeof(in6_addr)) != 0)
    return fail(Source::agent, Reason::internal,
                "a descriptor that was handed back is no listener of this pod");
  return {};
}

Result<uint64_t> socket_cookie(int fd) {
  uint64_t cookie = 0;
  socklen_t length = sizeof(cookie);
  if (::getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &length) < 0)
    return fail_errno(Source::kernel, "SO_COOKIE", errno);
  return cookie;
}

}  // namespace weir::agent::redirect

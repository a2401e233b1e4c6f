// The TCP sockets of a namespace as the kernel lists them (NETLINK_SOCK_DIAG), and ending one.
//
// Acts on the calling thread's namespace (netns.h). Used by reconciliation, by the check and for connections that are
// older than the rule. Thread: any.
#pragma once

#include <linux/inet_diag.h>

#include <cstdint>
#include <vector>

#include "nodeproxy/base/error.h"
#include "nodeproxy/base/ip.h"

namespace weir::agent::redirect {

struct DiagSocket {
  uint8_t family = 0;  // AF_INET or AF_INET6, of the socket (a v4-mapped one is AF_INET6)
  uint8_t state = 0;   // TCP_*
  bool v6only = false;
  SocketAddress local;
  SocketAddress remote;
  uint64_t cookie = 0;
  uint64_t cgroup_id = 0;
  uint32_t mark = 0;
  inet_diag_sockid id{};  // as the kernel wants it back
};

// `states`: a mask of 1 << TCP_*.
Result<std::vector<DiagSocket>> tcp_sockets(uint32_t states);

// SOCK_DESTROY: both ends see a reset. A socket that is gone counts as destroyed.
Status destroy_socket(const DiagSocket& socket);

}  // namespace weir::agent::redirect

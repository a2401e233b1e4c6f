// The in-pod listeners: per direction one SO_REUSEPORT group with a member per proxy worker.
//
// They bind ::ffff:127.0.0.1 (outbound) and ::ffff:127.0.0.2 (inbound): dual-stack for bpf_sk_assign, and out of
// reach of the pod's own address. IP_TRANSPARENT lets accepted sockets have the address that was dialled.
// Sockets stay blocking, because io_uring answers -EAGAIN on O_NONBLOCK ones instead of waiting.
// open_listeners acts on the calling thread's namespace; the descriptors belong to who holds the ListenerGroups.
// Thread: any.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "nodeproxy/base/error.h"
#include "nodeproxy/base/fd.h"

namespace weir::agent::redirect {

enum class Direction { outbound, inbound };

struct ListenerGroups {
  uint16_t port = 0;
  std::vector<Fd> outbound;
  std::vector<Fd> inbound;

  bool empty() const { return outbound.empty() || inbound.empty(); }
};

// `port` 0: the first free one from WEIR_LISTENER_PORT on that lies outside the namespace's ip_local_port_range.
Result<ListenerGroups> open_listeners(uint16_t port, unsigned members);

// Whether `fd` is a listening socket of `direction` and `port` in the namespace with that cookie.
Status check_listener(int fd, Direction direction, uint16_t port, uint64_t netns_cookie);

// SO_COOKIE: what a SOCKMAP answers to user space.
Result<uint64_t> socket_cookie(int fd);

}  // namespace weir::agent::redirect

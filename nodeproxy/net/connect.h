#pragma once
// Making the proxy's connections: a socket in the right network namespace, with the right source address, port range
// and marks (capture.md "Towards the application", "The proxy's sockets"), connected within a time limit.
// Errors: reason_of_errno of the last try; connect_timeout; ports_exhausted when no source port was free.
// Thread: a worker's.
#include "nodeproxy/io/socket.h"
#include "nodeproxy/net/source_ports.h"

namespace weir::net {

struct ConnectPlan {
  io::SocketSpec spec;  // bind.port is filled from `ports`
  SocketAddress to;
  SourcePorts* ports = nullptr;  // null: the kernel chooses
  // After this time without SYN-ACK another source port is tried (the port may be one the peer's kernel uses for a
  // flow of its own); zero: one try with the whole connect time-out.
  io::Clock::duration retry_after{};
  io::TimePoint deadline = io::kNever;  // the connect time-out is not waited for beyond it
};

io::Task<Result<io::Socket>> connect(io::Driver& driver, ConnectPlan plan);

// Towards an application, with the client's own address as source: looped inside the pod (mark M), exempt (mark E),
// ends as a reset unless closed in order.
ConnectPlan to_application(int netns_fd, const Ip& client, const SocketAddress& to, SourcePorts& ports);
// Same node, one pass: made in the client's namespace with the client's address, crosses the CNI, exempt at the
// destination.
ConnectPlan to_local_pod(int client_netns_fd, const Ip& client, const SocketAddress& to, SourcePorts& ports);
// Between two proxies, from the source pod's own address and Weir's lane ports.
ConnectPlan to_proxy(int netns_fd, const Ip& source, const SocketAddress& to, SourcePorts& ports);
// To what is outside the mesh: plain TCP from the pod, kernel's port.
ConnectPlan to_outside(int netns_fd, const Ip& source, const SocketAddress& to);

}  // namespace weir::net

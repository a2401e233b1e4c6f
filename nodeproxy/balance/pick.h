#pragma once
// Which endpoint of a service a connection goes to: Kubernetes' rules for what is eligible, then the service's balancer
// among those (architecture.md "What a dialled address means").
//
//   eligible  family dialled · the slice has the port, by name · weight above 0 · ready, or else (none is) serving while
//             terminating; publish_not_ready: all · internal_traffic_local: the client's node only
//   untried   endpoints that failed for this connection are left out, but a failed ready one does not make the
//             terminating ones eligible
//   nearest   with a locality preference: the first of same node, same zone (by hints where there are any), anywhere
//             that has one
//   chosen    session affinity: by the client's address; else by the balancer, in proportion to weights
//
// Session affinity is rendezvous hashing of (client address, endpoint): all workers and restarts agree without shared
// state, and an endpoint that comes or goes moves only its own share of clients.
// Pure but for the worker's State. Thread: the worker's. Lifetime: a Choice points into the snapshot.
#include <cstdint>
#include <span>
#include <string_view>

#include "nodeproxy/balance/state.h"
#include "nodeproxy/base/error.h"
#include "nodeproxy/base/ip.h"
#include "nodeproxy/config/snapshot.h"

namespace weir::balance {

struct Request {
  const config::Service& service;
  uint16_t port = 0;                     // of the service, as dialled
  bool v4 = true;                        // the family dialled
  std::string_view node;                 // the client's
  std::string_view zone;                 // the client's; empty: unknown
  Ip client;                             // for session affinity
  std::span<const uint64_t> tried = {};  // ids of endpoints that already failed for this connection
};

struct Choice {
  const config::Endpoint* endpoint = nullptr;
  const config::ServicePort* service_port = nullptr;
  const config::EndpointPort* endpoint_port = nullptr;  // its number is where to connect

  SocketAddress address() const { return {endpoint->address, endpoint_port->port}; }
};

// Errors: unknown_port (the service has no such port), no_endpoint (nothing eligible is left). Call State::lease with
// the endpoint's id for as long as the connection lives.
Result<Choice> pick(const Request& request, State& state);

}  // namespace weir::balance

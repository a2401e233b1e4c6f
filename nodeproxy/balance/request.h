#pragma once
// What is asked of the balancer, and its answer. Thread: the worker's. Lifetime: a Choice points into the snapshot and
// into the worker's State: use it, and take its lease, before the worker's next message.
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "nodeproxy/balance/ewma.h"
#include "nodeproxy/base/ip.h"
#include "nodeproxy/config/snapshot.h"

namespace weir::balance {

class Group;
struct Member;

struct Request {
  const config::Service& service;
  uint16_t port = 0;      // of the service, as dialled
  bool v4 = true;         // the family dialled
  std::string_view node;  // the client's
  std::string_view zone;  // the client's; empty: unknown
  Ip client;              // for session affinity, and to hash for opaque connections
  std::span<const uint64_t> tried =
      {};              // ids of endpoints that already failed for this connection or request
  TimePoint now = {};  // of the worker's clock
  bool http = false;   // a request; else an opaque connection
  std::optional<uint64_t> hash =
      {};  // ring_hash and maglev: hash_of() the service's HashKey (balance/hash.h)
  std::optional<uint64_t> prefer = {};  // session persistence: this endpoint, if it is eligible
};

struct Choice {
  const config::Endpoint* endpoint = nullptr;
  const config::ServicePort* service_port = nullptr;
  const config::EndpointPort* endpoint_port = nullptr;  // its number is where to connect
  Group* group = nullptr;                               // for State::request
  Member* member = nullptr;                             // likewise

  SocketAddress address() const { return {endpoint->address, endpoint_port->port}; }
};

}  // namespace weir::balance

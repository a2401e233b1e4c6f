#pragma once
// Where one try of a connection or a request goes, and how it is reached: over a lane to a mesh peer, in one pass to a
// pod of this node, or in plaintext to what is outside. What an outbound connection and an outbound request share.
// Thread: one worker. Lifetime: a value.
#include <span>
#include <string>

#include "nodeproxy/flow/local_pod.h"
#include "nodeproxy/upstream/http_pool.h"

namespace weir::flow {

struct Hop {
  upstream::Way way = upstream::Way::plain;
  SocketAddress to;
  std::string workload_uid;  // empty: outside the mesh
  std::string identity;      // expected of the peer (lane)
  uint64_t endpoint_id = 0;  // 0: not chosen by a balancer
};

// The way from `source` to that workload (null: none that the mesh knows) at that address.
Hop hop_to(const Context& context, const LocalPod& source, const config::Workload* workload,
           SocketAddress to);
// The way to an endpoint that a balancer chose.
Hop hop_to(const Context& context, const LocalPod& source, const balance::Choice& choice);
// A balancer's question as this pod asks it.
balance::Request ask(const Context& context, const LocalPod& source, const config::Service& service,
                     uint16_t port, const SocketAddress& client, std::span<const uint64_t> tried);
// Names the two ends of it.
void label(telemetry::Facts& facts, const Context& context, const LocalPod& source, const Hop& hop);
telemetry::Security security_of(upstream::Way way);
// Waits, bounded, for the pod's own certificate; null when it has not come. Never plaintext instead.
io::Task<std::shared_ptr<const tls::Context>> own_certificate(Context& context, std::string identity,
                                                              io::TimePoint deadline = io::kNever);

}  // namespace weir::flow

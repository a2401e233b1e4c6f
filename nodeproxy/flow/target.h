#pragma once
// What a dialled address means (architecture.md has the table): Weir stands in for kube-proxy for enrolled pods, so it
// answers as Kubernetes would. Pure: a snapshot and an address in, a meaning out; nothing is kept.
// Thread: any, on a snapshot it holds.
#include <variant>

#include "nodeproxy/config/snapshot.h"

namespace weir::flow {

// A ClusterIP, externalIP or load-balancer address; `port` is null when the service has no such port.
struct ToService {
  const config::Service* service;
  const config::ServicePort* port;
};
// A pod's own address: that workload, no balancing.
struct ToWorkload {
  const config::Workload* workload;
};
// Outside the mesh, a node, a hostNetwork pod: plain TCP from the pod.
struct ToOutside {};
// Inside the cluster's ranges and not known (yet): held for news, then refused.
struct ToUnknown {};

using Target = std::variant<ToService, ToWorkload, ToOutside, ToUnknown>;

Target target_of(const config::Snapshot& snapshot, const SocketAddress& dialled);

}  // namespace weir::flow

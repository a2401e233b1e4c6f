// The table of target.h, in the order in which Kubernetes would find the address.
#include "nodeproxy/flow/target.h"

namespace weir::flow {

Target target_of(const config::Snapshot& snapshot, const SocketAddress& dialled) {
  if (const config::Service* service = snapshot.service_at(dialled.ip, dialled.port)) {
    return ToService{service, service->port(dialled.port)};
  }
  if (const config::Workload* workload = snapshot.workload_at(dialled.ip)) return ToWorkload{workload};
  if (snapshot.node_addresses.find(dialled.ip)) return ToOutside{};
  if (snapshot.in_cluster_ranges(dialled.ip) && !snapshot.mesh.allow_unknown_destinations) return ToUnknown{};
  return ToOutside{};
}

}  // namespace weir::flow

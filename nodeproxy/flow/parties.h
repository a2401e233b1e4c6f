#pragma once
// Names for telemetry: who a workload is to metrics and the access log. Metrics name the owner (a Deployment), never
// the pod, so that label sets stay bounded.
// Thread: any; values are copied out of the snapshot.
#include "nodeproxy/config/snapshot.h"
#include "nodeproxy/telemetry/record.h"

namespace weir::flow {

// The party of a workload; null: an address that the mesh does not know.
telemetry::Party party_of(const config::Workload* workload);
std::string pod_name(const config::Workload* workload);  // "namespace/name" or empty

}  // namespace weir::flow

// See parties.h.
#include "nodeproxy/flow/parties.h"

namespace weir::flow {

telemetry::Party party_of(const config::Workload* workload) {
  if (!workload) return {"unknown", "unknown", ""};
  const std::string& name = workload->owner_name.empty() ? workload->name : workload->owner_name;
  return {name, workload->ns, workload->identity};
}

std::string pod_name(const config::Workload* workload) {
  return workload ? workload->ns + "/" + workload->name : std::string();
}

}  // namespace weir::flow

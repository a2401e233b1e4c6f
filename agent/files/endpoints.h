#pragma once
// What Kubernetes' endpoint slice controller does, for a directory in which nobody does it: a Service with a selector
// and without any EndpointSlice gets slices made of the Pods it selects. Where a file has a slice of that Service, the
// files are believed and nothing is added.
// Pure. Thread: any. Source: discovery/v1, and the controller's rules for ready, serving and terminating.
#include "agent/model/objects.h"

namespace weir::agent {

void add_missing_slices(Objects& objects);

}  // namespace weir::agent

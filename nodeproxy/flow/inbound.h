#pragma once
// The inbound corridor: a connection to an address of an enrolled pod. Its first bytes decide between a mesh peer (a
// carrier of sessions), foreign TLS and opaque bytes; mode and policy decide whether it reaches the application.
// Thread: one worker. Lifetime: the flow's own.
#include "nodeproxy/flow/local_pod.h"

namespace weir::flow {

// Takes the accepted descriptor.
void start_inbound(LocalPod& destination, int fd, Seat seat);

}  // namespace weir::flow

#pragma once
// The outbound corridor: a connection that an application of an enrolled pod made. What it dialled decides what is
// meant; policy of a destination on this node is judged here too, since such flows make one pass.
// Thread: one worker. Lifetime: the flow's own.
#include "nodeproxy/flow/local_pod.h"

namespace weir::flow {

// Takes the accepted descriptor.
void start_outbound(LocalPod& source, int fd, Seat seat);

}  // namespace weir::flow

#pragma once
// One session of a lane at the destination: judged at every OPEN, connected to the application as the client's own
// address, then relayed. A flow like any other, with its own record.
// Thread: one worker. Lifetime: the flow's own; it outlives neither its pod nor, for reading and writing, its carrier.
#include "nodeproxy/flow/local_pod.h"
#include "nodeproxy/mesh/carrier.h"

namespace weir::flow {

// `place`: among the sessions that its source may have.
void start_session(LocalPod& destination, mesh::Carrier& carrier, mesh::Session& session,
                   const mesh::OpenInfo& info, const SocketAddress& local, Permit place);
// Records one that was refused at a limit before it was a flow.
void refuse_session(LocalPod& destination, const mesh::Carrier& carrier, const mesh::OpenInfo& info,
                    const SocketAddress& local, const Error& why);

// Counts the outcome of a handshake as server.
void count_handshake(Context& context, const mesh::Carrier& carrier, const Status& outcome);

}  // namespace weir::flow

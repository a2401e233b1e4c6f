#pragma once
// What requests add to a hop: which protocol the endpoint is spoken to in, and the pooled connection that is wanted for it.
// What an exchange and its mirrors share.
// Thread: one worker. Lifetime: values.
#include "nodeproxy/flow/hop.h"
#include "nodeproxy/upstream/http_pool.h"

namespace weir::flow {

// The client's protocol is kept, unless the backend's port is declared to speak the other one: always for HTTP/2, and for
// HTTP/1.1 where the request was led `elsewhere` than to the port that the client dialled.
bool speaks_h2(const balance::Choice& choice, bool client_h2, bool elsewhere);
// A place on a connection of this pod to that hop which is there already; none: want one. `settings` are the service's.
std::optional<upstream::HttpLease> reuse(const LocalPod& source, const Hop& hop, const SocketAddress& client,
                                         bool h2, bool fresh, const config::PoolSettings& settings);
// The connection of this pod to that hop, with the certificate that a lane needs (waited for, bounded, and no longer than
// `deadline`, which also bounds the making of it). The service, its settings and permit are the caller's to fill in.
// Errors: certificate_missing.
io::Task<Result<upstream::HttpPool::Want>> want_for(LocalPod& source, const Hop& hop, SocketAddress client,
                                                    bool h2, io::TimePoint deadline);

}  // namespace weir::flow

#pragma once
// Which endpoint of a service a connection or a request goes to: Kubernetes' rules for what is eligible, then the service's
// balancer among those (architecture.md "What a dialled address means", http.md "Resilience semantics").
//
//   eligible  family dialled · the slice has the port, by name · weight above 0 · ready, or else (none is) serving while
//             terminating; publish_not_ready: all · internal_traffic_local: the client's node only   (eligible.h)
//   healthy   ejected endpoints are left out, within the panic share; better one of them than none     (outliers.h)
//   untried   endpoints that failed for this connection are left out, but a failed ready one does not make the
//             terminating ones eligible
//   nearest   with a locality preference: the first of same node, same zone (by hints where there are any), anywhere
//             that has one; what too few healthy ones cannot take overflows to the next                (eligible.h)
//   chosen    session persistence; session affinity by the client's address; else by the balancer, in proportion to
//             weights, which grow while an endpoint is new and slow start is on                        (choose.h)
//
// Hashing (affinity, ring, Maglev) is of (key, endpoint): all workers, proxies and restarts agree without shared state.
// What depends on the Service object alone is worked out once and kept in the worker's State, so a pick costs the same
// among three endpoints and among a thousand.
// Pure but for the worker's State. Thread: the worker's.
#include "nodeproxy/balance/hash.h"
#include "nodeproxy/balance/request.h"
#include "nodeproxy/balance/state.h"

namespace weir::balance {

// Errors: unknown_port (the service has no such port), no_endpoint (nothing eligible is left). Right after it, take
// State::lease for the life of a connection, State::request for that of a request.
Result<Choice> pick(const Request& request, State& state);

}  // namespace weir::balance

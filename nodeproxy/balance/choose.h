#pragma once
// The balancers: how one of a group's eligible endpoints is chosen.
//
//   sticky     a preferred endpoint (session persistence), if it may be chosen; session affinity by rendezvous hashing of
//              the client's address; ring_hash and maglev by Request::hash, opaque connections by the client's address
//   spreading  peak_ewma, least_request, least_connections: the better of two drawn by weight; round_robin; random
//
// Requests and connections are loads of different kinds: who asks for the other kind's balancer gets its own. A request
// without the value that should be hashed is balanced by least_request.
// Pure but for the worker's State. Thread: the worker's.
#include "nodeproxy/balance/state.h"

namespace weir::balance {

// Of two latencies that differ by less than this factor, load decides alone: so much is noise, and by weight they are
// equal.
inline constexpr double kSimilarLatency = 1.5;

// One of group.eligible(); null when every endpoint was tried. Nothing but ejected ones left: one of those.
const Candidate* choose(const Request& request, Group& group, State& state);

}  // namespace weir::balance

#pragma once
// Whether a request meets the layer 7 conditions of a Match (api.md "Rules that peers got wrong").
//
// What a request says twice is judged so that no second saying opens a door: a Deny is met when any line of a field
// meets it, an Allow (and an Audit) only when all do. Hosts are compared without case, port and trailing dot; paths in
// the normal form, without query. A gRPC condition is met by POST with a content type application/grpc… only.
// Pure, and free of allocation. Thread: any.
#include "nodeproxy/config/snapshot.h"
#include "nodeproxy/policy/judge.h"

namespace weir::policy {

bool meets_request(const config::Match& match, const Request& request, config::Action action);

// Exact, or a beginning before a trailing '*'. An empty value matches nothing, not even "*".
bool matches_pattern(std::string_view pattern, std::string_view value);

}  // namespace weir::policy

#pragma once
// What becomes of a request, before anything is sent: which rule of the dialled service's routes it matches, what their
// filters make of it, which backend its weight falls to; or an answer of our own. Changes the head to what is forwarded.
// Pure but for the worker's random source. Thread: one worker. Lifetime: nothing is kept.
#include "nodeproxy/flow/http_client.h"
#include "nodeproxy/flow/plan.h"

namespace weir::flow {

// Fills the plan; an answer when the request goes nowhere.
std::optional<LocalAnswer> decide(const HttpClient& client, http::Head& head, Plan& plan);

}  // namespace weir::flow

#pragma once
// Requests that never became exchanges: what a client sent is no request, or too large a one. Answered, counted and logged
// like any other end.
// Thread: one worker.
#include "nodeproxy/flow/http_client.h"
#include "nodeproxy/http/h1_server.h"
#include "nodeproxy/http/message_stream.h"

namespace weir::flow {

// Whether the error is one that a client is answered for.
bool refusable(const Error& why);
// Answers with `status` (0: the reason's own) and records it.
io::Task<void> refuse(HttpClient& client, http::MessageStream& stream, Error why, uint16_t status);

// A connection that broke HTTP's rules, or asked for too much work, between requests: counted and logged, not answered.
void note_broken(HttpClient& client, const Error& why);

}  // namespace weir::flow

#pragma once
// What was decided for one request, before anything is done: copied out of the snapshot, so nothing here dangles when a
// new one comes, and a request keeps the version of the routes it began with.
// Thread: one worker. Lifetime: part of an exchange.
#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "nodeproxy/base/error.h"
#include "nodeproxy/config/snapshot.h"
#include "nodeproxy/http/message.h"
#include "nodeproxy/route/persistence.h"

namespace weir::flow {

struct Plan {
  std::string service;  // the backend's, "namespace/name"; empty: the pod's own application (inbound)
  uint16_t port = 0;    // of that service
  std::string rule;     // the route rule's name; empty: no route
  config::Timeouts timeouts;
  config::Retry retry;
  std::vector<config::Filters> response_filters;  // in order, only what they do to a response; usually none
  std::optional<config::Cors> cors;
  std::string cors_origin;  // granted; empty: not
  std::optional<config::SessionPersistence> persistence;
  config::RouteMatch persistence_match;   // its path, for the cookie's
  config::Backend persistence_backend;    // without its filters
  std::optional<route::Session> session;  // what the client brought
  std::optional<uint64_t> prefer;         // the endpoint of that session
  std::vector<config::Mirror> mirrors;
  std::optional<uint64_t> hash;  // of the key that a consistent balancer asks for
  bool grpc = false;             // failures are told in gRPC's terms
};

// An answer of our own instead of a backend's.
struct LocalAnswer {
  uint16_t status = 500;
  Reason reason = Reason::internal;
  http::Headers headers;  // Location, CORS, Allow
};

// How long a client may take to read an answer of our own.
inline constexpr auto kAnswerPatience = std::chrono::seconds(10);
// Gives the head of an answer of our own its text and framing, in HTTP's terms; the body to send with it, none to HEAD.
io::Buffer tell(http::Head& answer, Reason reason, bool to_head);

// What a failure is to an HTTP client: 403, 404, 503, …; and to a gRPC one. `from`: a limit that the server's answer
// broke is no fault of the client's.
uint16_t status_of(Reason reason, Source from = Source::local);
uint16_t grpc_code_of(Reason reason);

}  // namespace weir::flow

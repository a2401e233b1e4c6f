#pragma once
// Cross-origin requests as a route's CORS filter says: a preflight is answered here, and the response to an actual request
// gets the fields that let a browser hand it to the page. What the application itself says about CORS gives way.
// An origin that is not allowed is no error: the fields are missing, and the browser keeps the response to itself.
//
// Concept: the request is asked once, before its filters change it (Origin is the client's word); the grant then makes
// the fields of whatever response comes. The origin is echoed even where every origin is allowed, so that "*" never
// meets credentials and one kind of answer suits every client; caches are told by Vary.
// Owner: the exchange. Thread: its worker. Lifetime: a grant points into the snapshot.
// Source: Gateway API HTTPCORSFilter; WHATWG Fetch section 3.2.
#include <string>

#include "nodeproxy/config/routes.h"
#include "nodeproxy/http/message.h"

namespace weir::route {

struct CorsGrant {
  const config::Cors* cors = nullptr;  // null: no filter
  std::string origin;                  // the client's, as it wrote it, if it is allowed; else empty
};

CorsGrant cors_grant(const config::Cors& cors, const http::Head& request);

// OPTIONS with Origin and Access-Control-Request-Method: asks for leave, and never reaches an application.
bool is_preflight(const http::Head& request);
// The answer to a preflight: 200, and the fields where the origin is allowed.
void answer_preflight(const CorsGrant& grant, const http::Head& request, http::Head& response);

// The fields of the response to an actual request, after all other response filters.
void filter_response(const CorsGrant& grant, http::Head& response);

// Whether `origin` (scheme://host[:port]) is what `allowed` says: "*", the same origin with the default ports of its
// scheme understood, or a host behind "*.", any number of labels.
bool origin_allowed(std::string_view allowed, std::string_view origin);

}  // namespace weir::route

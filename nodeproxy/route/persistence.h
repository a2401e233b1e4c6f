#pragma once
// Session persistence: the client carries, in a cookie or a header, which endpoint of which backend it had and since
// when, and is led there again while that endpoint can be chosen.
//
// Concept: a token of two ids and two times, unreadable at a glance and with a check, so that a mangled one is
// ignored. It is no secret and needs none: it only selects among endpoints that the request could be given anyway, so
// whoever makes one up gains what waiting would bring.
// Owner: the exchange. Thread: any, pure. Source: Gateway API SessionPersistence (GEP-1619), RFC 6265.
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "nodeproxy/config/routes.h"
#include "nodeproxy/http/message.h"

namespace weir::route {

struct Session {
  uint64_t backend = 0;    // backend_id
  uint64_t endpoint = 0;   // config::Endpoint::id
  uint64_t started_s = 0;  // Unix time
  uint64_t used_s = 0;     // likewise, of the last request that was answered with a new token
};

// The session that a request carries; none where it has none, a mangled one, or one that has timed out at `now_s`.
std::optional<Session> read_session(const config::SessionPersistence& persistence, const http::Head& request,
                                    uint64_t now_s);

// The backend that a session had, before any is chosen by weight; null: it is no longer there or has no weight.
const config::Backend* backend_of(const config::RouteRule& rule, const Session& session);
uint64_t backend_id(const config::Backend& backend);

// Where an answer comes from.
struct Served {
  const config::RouteMatch& match;  // gives the cookie its Path
  const config::Backend& backend;
  uint64_t endpoint;
  bool secure;  // the client came by https
};
// Tells the client, where it must be told: of a new session, of another endpoint than it had (`had`: what read_session
// gave), or of another use where the session may time out by idleness. Nothing is written otherwise.
void write_session(const config::SessionPersistence& persistence, const std::optional<Session>& had,
                   const Served& served, uint64_t now_s, http::Head& response);

// The token by itself.
std::string encode_session(const Session& session);
std::optional<Session> decode_session(std::string_view token);

// The value of the first cookie of a name, over all lines of Cookie.
std::optional<std::string_view> cookie(const http::Headers& headers, std::string_view name);

}  // namespace weir::route

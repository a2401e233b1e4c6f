#pragma once
// What a head must be to go over HTTP/2, in either direction, beyond what nghttp2 checks of what comes in: it checks
// nothing of what goes out.
// Thread: pure functions. Source: RFC 9113 sections 8.2 and 8.3, RFC 9110 section 5.6.2, RFC 8441 section 4.
#include <string_view>

#include "nodeproxy/http/message.h"

namespace weir::http::h2 {

using http_syntax::is_token;
// Connection-specific, or written from elsewhere in the head (Host, Content-Length): never sent as it stands.
bool is_dropped(std::string_view name, std::string_view value);
// Of a request's method, scheme, authority, path and protocol; null: none. `tunnel`: CONNECT without a protocol.
const char* broken_target_rule(const Head& head, bool tunnel);
// Whether a request is one of RFC 8441. Of what 1.1 can switch to, only WebSocket is defined for HTTP/2; any other
// Upgrade is left out, as a server may overlook it (RFC 9110 section 7.8).
bool goes_as_extended_connect(const Head& head);

}  // namespace weir::http::h2

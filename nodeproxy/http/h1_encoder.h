#pragma once
// HTTP/1.1 from heads to bytes. The encoder alone decides and writes framing, Host, Connection and Upgrade; what it is
// given was perhaps decoded from h2 or changed by a filter, so every name, value, target and authority is looked at
// again, and what could be read in two ways (a CR, a second Content-Length, …) is an error and writes nothing.
// Functions only: no state. Thread: any. Source: RFC 9112, RFC 9110 sections 7.6.1, 8.6 and 15.
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "nodeproxy/base/error.h"
#include "nodeproxy/http/h1_grammar.h"
#include "nodeproxy/http/message.h"

namespace weir::http::h1 {

struct RequestOptions {
  bool close = false;  // Connection: close
  // HTTP/2's extended CONNECT to WebSocket: the key it had none of.
  std::string_view websocket_key = {};
  // Nothing is to come behind these many bytes of body, and no trailers: the message is here whole, and needs no chunks
  // even if its head does not say how long it is.
  std::optional<uint64_t> whole_bytes = {};
};

struct ResponseOptions {
  bool close = false;
  std::optional<uint64_t> whole_bytes = {};
  // Of the request that is answered.
  bool to_head = false;
  bool to_connect = false;
  Version peer = Version::http_1_1;
};

// Append a head and say how its body must follow. A response whose answer is `to_close` has told the peer so: the
// connection ends behind it. Errors: bad_request or bad_response, with the rule as detail; `out` is as it was.
Result<Body> append_request_head(std::string& out, const Head& head, const RequestOptions& options = {});
// An informational head to a 1.0 peer, which would not understand it, appends nothing.
Result<Body> append_response_head(std::string& out, const Head& head, const ResponseOptions& options = {});

// Body::chunked: begin, `bytes` bytes (not 0), end, as often as needed; then the last chunk.
void append_chunk_begin(std::string& out, uint64_t bytes);
inline constexpr std::string_view kChunkEnd = "\r\n";
// Trailers that may not stand there (may_trail) are dropped; a bad name or value is an error, as above.
Status append_last_chunk(std::string& out, const Headers* trailers = nullptr);

// The reason phrase; "" of a code that has none.
std::string_view phrase(uint16_t status);

}  // namespace weir::http::h1

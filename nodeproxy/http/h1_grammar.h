#pragma once
// The words of HTTP/1.1 on their own: tokens, field values, authorities, lists, and the fields that belong to one
// connection. Decoder and encoder ask the same functions, so nothing is written that would not have been read.
// Thread: any; pure. Source: RFC 9110 sections 5.5, 5.6 and 7.6.1, RFC 9112 section 3.2, RFC 3986 section 3.2.
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "nodeproxy/base/http_syntax.h"

namespace weir::http::h1 {

using http_syntax::is_token;
using http_syntax::token_end;

// What a message was refused for. `rule` is static text; a Refusal without one refuses nothing.
struct Refusal {
  const char* rule = nullptr;
  uint16_t status = 400;  // the local answer to such a request; to a bad response it is always 502
  explicit operator bool() const { return rule != nullptr; }
};

// How a receiver knows where a body ends.
enum class Body : uint8_t {
  none,      // there is no body
  length,    // Content-Length
  chunked,   // Transfer-Encoding: chunked
  to_close,  // a response that ends with its connection
};

// The first NUL, control other than HTAB, or DEL at or after `from`; npos without one.
size_t find_control(std::string_view text, size_t from = 0);
// uri-host [":" port], both of which may be empty. Percent-escapes are refused: they name one host in two ways.
bool is_authority(std::string_view text);
bool has_port(std::string_view authority);  // of a valid one
// Visible ASCII without "#".
bool is_target(std::string_view text);
std::string_view trim(std::string_view text);  // of spaces and tabs
// Digits alone, below 2^63: more is read differently by different parsers.
std::optional<uint64_t> parse_length(std::string_view text);

// Takes the next element off a comma-separated list, trimmed; empty elements come as empty. False when none is left.
bool next_element(std::string_view& list, std::string_view& element);

// Fields that speak of one connection or of framing: never in Headers, written by the encoder alone.
enum class Special : uint8_t {
  none,
  connection,
  content_length,
  expect,
  host,
  http2_settings,
  keep_alive,
  proxy_connection,
  te,
  transfer_encoding,
  upgrade,
  shadow,  // one of these with _ for -, as CGI and its heirs would read it
};
Special special(std::string_view name);

// Whether a field may stand in a trailer section: none that frames, routes, authenticates, or says how to read the body
// (RFC 9110 section 6.5.1).
bool may_trail(std::string_view name);

}  // namespace weir::http::h1

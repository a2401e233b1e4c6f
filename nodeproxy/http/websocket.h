#pragma once
// What a WebSocket's opening needs where it crosses between the versions: over HTTP/2 it has neither Sec-WebSocket-Key
// nor Sec-WebSocket-Accept (RFC 8441 section 5), so whoever speaks HTTP/1.1 for it says and checks them itself.
// Functions only: no state. Thread: any. Source: RFC 6455 sections 4.1 and 4.2.
#include <string>
#include <string_view>

#include "nodeproxy/http/message.h"

namespace weir::http::websocket {

inline constexpr std::string_view kKey = "sec-websocket-key", kAccept = "sec-websocket-accept";

// Whether this is what the head asks to switch to, and nothing else.
inline bool is_asked_for(const Head& head) { return same_field(head.upgrade, "websocket"); }

std::string new_key();                     // 16 random bytes in base64
bool is_key(std::string_view text);        // of 16 bytes
std::string accept(std::string_view key);  // what a server answers to this key

}  // namespace weir::http::websocket

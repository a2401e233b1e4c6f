// See h2_rules.h.
#include "nodeproxy/http/h2_rules.h"

#include <nghttp2/nghttp2.h>

#include <algorithm>

#include "nodeproxy/http/websocket.h"

namespace weir::http::h2 {
namespace {

const uint8_t* octets(std::string_view text) { return reinterpret_cast<const uint8_t*>(text.data()); }

bool is_scheme(std::string_view text) {
  const auto letter = [](char c) { return (c | 0x20) >= 'a' && (c | 0x20) <= 'z'; };
  return !text.empty() && letter(text.front()) && std::all_of(text.begin(), text.end(), [&](char c) {
    return letter(c) || (c >= '0' && c <= '9') || c == '+' || c == '-' || c == '.';
  });
}

// One form for every parser: nothing beyond visible ASCII, and no fragment, which no client may send.
bool is_path(std::string_view path) {
  return std::all_of(path.begin(), path.end(), [](char c) { return c > ' ' && c < 0x7f && c != '#'; });
}

}  // namespace

bool is_dropped(std::string_view name, std::string_view value) {
  switch (name.size()) {
    case 2: return same_field(name, "te") && !same_field(value, "trailers");
    case 4: return same_field(name, "host");
    case 7: return same_field(name, "upgrade");
    case 10: return same_field(name, "connection") || same_field(name, "keep-alive");
    case 14: return same_field(name, "content-length") || same_field(name, "http2-settings");
    case 16: return same_field(name, "proxy-connection");
    case 17: return same_field(name, "transfer-encoding");
    default: return false;
  }
}

const char* broken_target_rule(const Head& head, bool tunnel) {
  if (!is_token(head.method)) return "the method is not a token";
  if (head.authority.empty() || nghttp2_check_authority(octets(head.authority), head.authority.size()) == 0)
    return "the authority is missing or malformed";
  if (head.authority.find('@') != std::string::npos) return "the authority has user information";
  if (tunnel) return nullptr;
  if (!is_scheme(head.scheme)) return "the scheme is malformed";
  if (goes_as_extended_connect(head) && !is_token(head.upgrade)) return "the protocol is not a token";
  if (head.path == "*") return head.method == "OPTIONS" ? nullptr : "only OPTIONS asks for *";
  if (!head.path.starts_with('/')) return "the path does not begin with /";
  return is_path(head.path) ? nullptr : "the path has a fragment or a byte beyond visible ASCII";
}

bool goes_as_extended_connect(const Head& head) {
  return head.is_extended_connect() || (head.method == "GET" && websocket::is_asked_for(head));
}

}  // namespace weir::http::h2

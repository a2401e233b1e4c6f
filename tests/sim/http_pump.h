#pragma once
// Bytes that came through an HTTP/1.1 decoder, event by event: what both edges of a history share.
// Thread: the test's.
#include <string>
#include <string_view>

#include "nodeproxy/http/h1_decoder.h"

namespace weir::test {

// Until more is needed, or until `on` (of a kind and a part of the body) says false; what is left stays in `pending`.
template <typename On>
Status pump(http::h1::Decoder& decoder, std::string& pending, On on) {
  std::string_view left = pending;
  Status status;
  for (;;) {
    std::span<const std::byte> input = std::as_bytes(std::span(left.data(), left.size()));
    const auto event = decoder.next(input);
    if (!event) {
      status = std::unexpected(event.error());
      break;
    }
    left = left.substr(left.size() - input.size());
    if (event->kind == http::h1::Decoder::Kind::need_more) break;
    if (!on(event->kind, {reinterpret_cast<const char*>(event->body.data()), event->body.size()})) break;
  }
  pending.erase(0, pending.size() - left.size());
  return status;
}

}  // namespace weir::test

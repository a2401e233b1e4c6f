#pragma once
// Bytes that came through an HTTP/1.1 decoder, event by event, and those that an HTTP/2 connection has to say: what both
// edges of a history share.
// Thread: the test's.
#include <array>
#include <string>
#include <string_view>

#include "nodeproxy/http/h1_decoder.h"
#include "nodeproxy/http/h2_connection.h"
#include "nodeproxy/io/sim.h"

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

inline io::Buffer buffer_of(std::string_view text) {
  return io::copy_to_buffer(std::as_bytes(std::span(text.data(), text.size())));
}

// All that it wants to say, and FIN when it has said its last.
inline void flush(http::h2::Connection& connection, io::SimApp& app) {
  std::array<std::byte, 16 * 1024> out;
  while (!app.closed() && connection.wants_output()) {
    const size_t produced = connection.produce(out);
    if (produced == 0) break;
    app.send({reinterpret_cast<const char*>(out.data()), produced});
  }
  if (connection.finished()) app.finish();
}

}  // namespace weir::test

#pragma once
// Two tls::Sessions joined in memory: what one has to send is fed to the other, cut as the test wants it.
// Owner: the tests of tls/. Thread: one.
#include <catch2/catch.hpp>
#include <functional>
#include <memory>
#include <vector>

#include "nodeproxy/tls/session.h"
#include "tests/unit/tls/certificates.h"

namespace weir::tls::test {

inline std::span<const std::byte> bytes_of(std::string_view text) { return std::as_bytes(std::span(text)); }

// Takes everything out of a session's output.
inline std::vector<std::byte> drain(Session& from) {
  std::vector<std::byte> taken;
  while (from.output_bytes() > 0) {
    const auto piece = from.output();
    taken.insert(taken.end(), piece.begin(), piece.end());
    from.consume_output(piece.size());
  }
  return taken;
}

// Feeds `wire` in pieces of at most `step` bytes; each piece in memory of its own, wiped afterwards. Gives the plaintext.
inline Result<std::string> receive(Session& to, std::vector<std::byte> wire, size_t step = SIZE_MAX) {
  std::string text;
  for (size_t at = 0; at < wire.size();) {
    const size_t n = std::min(step, wire.size() - at);
    std::vector<std::byte> piece(wire.begin() + static_cast<ptrdiff_t>(at),
                                 wire.begin() + static_cast<ptrdiff_t>(at + n));
    at += n;
    to.feed(piece);
    for (;;) {
      const Result<Read> read = to.read();
      if (!read) return std::unexpected(read.error());
      if (read->kind != Read::Kind::data) break;
      text.append(reinterpret_cast<const char*>(read->bytes.data()), read->bytes.size());
    }
    std::fill(piece.begin(), piece.end(), std::byte{0xee});
  }
  return text;
}

struct Pair {
  std::unique_ptr<Session> client, server;
  Result<HandshakeState> client_state = HandshakeState::want_more, server_state = HandshakeState::want_more;

  Pair(std::shared_ptr<const Context> dialler, std::shared_ptr<const Context> acceptor,
       const SpiffeId& expected)
      : client(*Session::dial(std::move(dialler), expected)), server(*Session::accept(std::move(acceptor))) {}
  Pair(std::unique_ptr<Session> dialler, std::unique_ptr<Session> acceptor)
      : client(std::move(dialler)), server(std::move(acceptor)) {}

  // Until neither has more to say. What the server sends behind the handshake stays in `to_client`.
  void handshake(size_t step = SIZE_MAX) {
    client_state = client->handshake();
    for (int round = 0; round < 8; ++round) {
      hand_over(*client, *server, server_state, step);
      hand_over(*server, *client, client_state, step);
    }
  }

  static void hand_over(Session& from, Session& to, Result<HandshakeState>& state, size_t step) {
    std::vector<std::byte> wire = drain(from);
    for (size_t at = 0; at < wire.size() && state;) {
      const size_t n = std::min(step, wire.size() - at);
      std::vector<std::byte> piece(wire.begin() + static_cast<ptrdiff_t>(at),
                                   wire.begin() + static_cast<ptrdiff_t>(at + n));
      at += n;
      to.feed(piece);
      state = to.handshake();
      if (!state || *state != HandshakeState::done) continue;
      const Result<Read> read = to.read();  // an alert behind the handshake
      if (!read) state = std::unexpected(read.error());
    }
  }
};

}  // namespace weir::tls::test

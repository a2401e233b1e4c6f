// Handshake, data, ends: two sessions of ours against each other in memory.
#include "nodeproxy/tls/session.h"

#include <catch2/catch.hpp>
#include <cstring>
#include <random>

#include "tests/unit/tls/pair.h"

namespace weir::tls::test {
namespace {

using namespace std::string_literals;
constexpr auto kCart = "spiffe://cluster.local/ns/shop/sa/cart";
constexpr auto kDb = "spiffe://cluster.local/ns/data/sa/db";

Pair connected(size_t step = SIZE_MAX) {
  static const Authority authority("root");
  Pair pair(good_context(authority, kCart), good_context(authority, kDb), id(kDb));
  pair.handshake(step);
  REQUIRE(pair.client_state);
  REQUIRE(pair.server_state);
  REQUIRE(*pair.client_state == HandshakeState::done);
  REQUIRE(*pair.server_state == HandshakeState::done);
  return pair;
}

std::string pattern(size_t size, unsigned seed) {
  std::mt19937 random(seed);
  std::string text(size, 0);
  for (char& c : text) c = static_cast<char>(random());
  return text;
}

}  // namespace

TEST_CASE("two workloads shake hands and know each other") {
  Pair pair = connected();
  CHECK(pair.client->peer_identity().uri() == kDb);
  CHECK(pair.server->peer_identity().uri() == kCart);
  CHECK(pair.client->alpn() == "weir/1");
  CHECK(pair.client->cipher() == pair.server->cipher());
  CHECK(pair.client->cipher().starts_with("TLS_"));
  CHECK_FALSE(pair.client->resumed());
  CHECK(pair.server->peer_not_after() > std::chrono::system_clock::now());
  CHECK(pair.client->output_bytes() == 0);
}

TEST_CASE("a handshake works however the bytes are cut") {
  const size_t step = GENERATE(1, 2, 5, 7, 100, 1000);
  CAPTURE(step);
  Pair pair = connected(step);
  REQUIRE(pair.client->write(bytes_of("hello")));
  CHECK(receive(*pair.server, drain(*pair.client), step).value() == "hello");
}

TEST_CASE("data arrives whole in both directions however it is written and cut") {
  const unsigned seed = GENERATE(take(20, random(1u, 1u << 30)));
  INFO("seed " << seed);
  std::mt19937 random(seed);
  Pair pair = connected();
  for (int round = 0; round < 10; ++round) {
    Session& from = round % 2 ? *pair.client : *pair.server;
    Session& to = round % 2 ? *pair.server : *pair.client;
    std::string sent;
    for (unsigned writes = random() % 4 + 1; writes > 0; --writes) {
      const std::string text = pattern(random() % 3 == 0 ? random() % 70000 : random() % 300, random());
      const size_t longest =
          random() % 2 ? 70000 : random() % 900 + 100;  // more pieces than a record may have, too
      std::vector<std::span<const std::byte>> pieces;
      for (auto rest = bytes_of(text); !rest.empty(); rest = rest.subspan(pieces.back().size())) {
        pieces.push_back(rest.first(std::min<size_t>(rest.size(), random() % longest)));
      }
      REQUIRE(from.write(pieces));
      sent += text;
    }
    const auto got = receive(to, drain(from), random() % 2 ? random() % 5000 + 1 : SIZE_MAX);
    REQUIRE(got);
    CHECK((*got == sent));
  }
}

TEST_CASE("records are as full as they can be and the plaintext does not show") {
  Pair pair = connected();
  const std::string text(40000, 'x');
  REQUIRE(pair.client->write(bytes_of(text)));
  CHECK(pair.client->output_bytes() == 40000 + 3 * 22);
  CHECK(pair.client->output().size() == pair.client->output_bytes());  // one piece: one send
  const auto wire = drain(*pair.client);
  const std::string_view view(reinterpret_cast<const char*>(wire.data()), wire.size());
  CHECK(view.find("xxxx") == std::string_view::npos);
}

TEST_CASE("output stays where it is while more is written behind it") {
  Pair pair = connected();
  REQUIRE(pair.client->write(bytes_of(std::string(1000, 'a'))));
  const auto front = pair.client->output();
  const std::vector<std::byte> copy(front.begin(), front.end());
  for (int i = 0; i < 100; ++i) REQUIRE(pair.client->write(bytes_of(std::string(3000, 'b'))));
  CHECK(pair.client->output().data() == front.data());
  CHECK(std::equal(copy.begin(), copy.end(), front.begin()));
  const auto got = receive(*pair.server, drain(*pair.client));
  REQUIRE(got);
  CHECK(got->size() == 301000);
}

TEST_CASE("data right behind the handshake, in the same segment, is read") {
  const Authority authority("root");
  Pair pair(good_context(authority, kCart), good_context(authority, kDb), id(kDb));
  REQUIRE(pair.client->handshake());
  Pair::hand_over(*pair.client, *pair.server, pair.server_state, SIZE_MAX);
  Pair::hand_over(*pair.server, *pair.client, pair.client_state, SIZE_MAX);
  REQUIRE(pair.client_state.value() == HandshakeState::done);
  REQUIRE(pair.client->write(bytes_of("early bird")));
  auto wire = drain(*pair.client);  // Finished and data
  pair.server->feed(wire);
  REQUIRE(pair.server->handshake().value() == HandshakeState::done);
  const auto read = pair.server->read();
  REQUIRE(read);
  CHECK(std::string_view(reinterpret_cast<const char*>(read->bytes.data()), read->bytes.size()) ==
        "early bird");
}

TEST_CASE("close_notify is told from truncation") {
  Pair pair = connected();
  REQUIRE(pair.client->write(bytes_of("last")));
  SECTION("closed") {
    pair.client->shutdown();
    pair.client->shutdown();  // once is enough
    CHECK_FALSE(pair.client->write(bytes_of("more")));
    CHECK(receive(*pair.server, drain(*pair.client)).value() == "last");
    CHECK(pair.server->close_received());
    CHECK(pair.server->end_of_stream());
    CHECK(pair.server->read().value().kind == Read::Kind::closed);
    REQUIRE(pair.server->write(bytes_of("answer")));  // the other direction goes on
    CHECK(receive(*pair.client, drain(*pair.server)).value() == "answer");
  }
  SECTION("cut between records") {
    CHECK(receive(*pair.server, drain(*pair.client)).value() == "last");
    CHECK(pair.server->end_of_stream().error().reason == Reason::truncated);
  }
  SECTION("cut inside a record") {
    auto wire = drain(*pair.client);
    wire.pop_back();
    CHECK(receive(*pair.server, wire).value().empty());
    CHECK(pair.server->end_of_stream().error().reason == Reason::truncated);
  }
}

TEST_CASE("the end of the transport during the handshake is a failed handshake") {
  const Authority authority("root");
  Pair pair(good_context(authority, kCart), good_context(authority, kDb), id(kDb));
  CHECK(pair.server->end_of_stream().error().reason == Reason::handshake_failed);
}

TEST_CASE("a record that was changed on the way ends the session, and the peer is told") {
  const size_t where = GENERATE(5, 9, 20, 25);
  Pair pair = connected();
  REQUIRE(pair.client->write(bytes_of("hello")));
  auto wire = drain(*pair.client);
  wire[where] ^= std::byte{1};
  const auto got = receive(*pair.server, wire);
  REQUIRE_FALSE(got);
  CHECK(got.error().reason == Reason::tls_error);
  CHECK(pair.server->read().error().reason == Reason::tls_error);  // for good
  CHECK_FALSE(pair.server->write(bytes_of("x")));
  const auto told = receive(*pair.client, drain(*pair.server));
  REQUIRE_FALSE(told);
  CHECK(told.error() == Error{Source::peer, Reason::tls_error});
}

TEST_CASE("a header that is not one of protected data is refused at once") {
  const std::string header = GENERATE("\x16\x03\x03\x00\x10"s, "\x17\x03\x01\x00\x10"s,
                                      "\x17\x03\x03\x41\x01"s, "\x17\x03\x03\x00\x00"s, "GET /"s);
  const size_t step = GENERATE(1, 5);
  Pair pair = connected();
  std::vector<std::byte> wire;
  for (const char c : header) wire.push_back(static_cast<std::byte>(c));
  const auto got = receive(*pair.server, wire, step);
  REQUIRE_FALSE(got);
  CHECK(got.error().reason == Reason::tls_error);
}

TEST_CASE("garbage instead of a ClientHello fails the handshake") {
  const Authority authority("root");
  auto server = *Session::accept(good_context(authority, kDb));
  std::string garbage =
      GENERATE("GET / HTTP/1.1\r\n\r\n"s, "\x16\x03\x01\x00\x05zzzzz"s, std::string(100, '\xff'));
  std::vector<std::byte> wire(garbage.size());
  std::memcpy(wire.data(), garbage.data(), garbage.size());
  server->feed(wire);
  const auto state = server->handshake();
  REQUIRE_FALSE(state);
  CHECK(state.error().reason == Reason::handshake_failed);
}

TEST_CASE("an idle session holds no buffer and little memory") {
  Pair pair = connected();
  CHECK(pair.client->output_bytes() == 0);
  CHECK(sizeof(Session) <= 768);
}

}  // namespace weir::tls::test

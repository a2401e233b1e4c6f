// Our record layer against BoringSSL's: every suite, key updates, floods, alerts.
#include "nodeproxy/tls/records.h"

#include <catch2/catch.hpp>

#include "tests/unit/tls/raw_peer.h"

namespace weir::tls::test {
namespace {

constexpr auto kCart = "spiffe://cluster.local/ns/shop/sa/cart";
constexpr auto kDb = "spiffe://cluster.local/ns/data/sa/db";

struct Joined {
  Authority root{"root"};
  bssl::UniquePtr<EVP_PKEY> key = make_key(KeyKind::p256);
  std::unique_ptr<Session> ours;
  RawPeer peer;

  explicit Joined(bool peer_dials)
      : ours(peer_dials ? *Session::accept(good_context(root, kDb))
                        : *Session::dial(good_context(root, kDb), id(kCart))),
        peer(key.get(), {root.sign({}, key.get())}, peer_dials) {
    REQUIRE(peer.connect(*ours));
  }
  Result<std::string> to_us(std::string_view text) {
    REQUIRE(peer.write(text));
    return receive(*ours, peer.take_sent());
  }
  std::string to_peer(std::string_view text) {
    REQUIRE(ours->write(bytes_of(text)));
    peer.receive(drain(*ours));
    return peer.read();
  }
};

}  // namespace

TEST_CASE("our records and BoringSSL's are the same records") {
  Joined joined(GENERATE(true, false));
  for (const size_t size :
       {size_t{1}, size_t{1000}, size_t{16383}, size_t{16384}, size_t{16385}, size_t{100000}}) {
    const std::string text(size, static_cast<char>('a' + size % 26));
    CHECK((joined.to_us(text).value() == text));
    CHECK((joined.to_peer(text) == text));
  }
  joined.peer.shutdown();
  CHECK(receive(*joined.ours, joined.peer.take_sent()).value().empty());
  CHECK(joined.ours->close_received());
  joined.ours->shutdown();
  joined.peer.receive(drain(*joined.ours));
  CHECK(joined.peer.read().empty());
  CHECK((SSL_get_shutdown(joined.peer.ssl()) & SSL_RECEIVED_SHUTDOWN) != 0);
}

TEST_CASE("key updates are followed, and answered before our next data when asked for") {
  Joined joined(GENERATE(true, false));
  for (int round = 0; round < 5; ++round) {
    const bool request = round % 2 == 0;
    REQUIRE(joined.peer.key_update(request));
    CHECK(joined.to_us("after the update").value() == "after the update");
    CHECK(joined.ours->output_bytes() == 0);  // the answer waits for data: a flood earns nothing
    CHECK(joined.to_peer("answer") == "answer");
    CHECK(joined.to_peer("and on") == "and on");
  }
}

TEST_CASE("a flood of key updates without data ends the session") {
  Joined joined(true);
  Result<std::string> got = "";
  int sent = 0;
  for (; sent < 100 && got; ++sent) {
    REQUIRE(joined.peer.key_update(false));
    REQUIRE(SSL_write(joined.peer.ssl(), "", 0) == 0);  // flushes
    got = receive(*joined.ours, joined.peer.take_sent());
  }
  REQUIRE_FALSE(got);
  CHECK(got.error().reason == Reason::tls_error);
  CHECK(sent == 33);
}

TEST_CASE("traffic keys refuse suites and secrets that are not TLS 1.3's") {
  const std::array<uint8_t, 48> secret{};
  CHECK(TrafficKey::make(0x1301, std::span(secret).first(32), 0));
  CHECK(TrafficKey::make(0x1302, std::span(secret).first(48), 0));
  CHECK(TrafficKey::make(0x1303, std::span(secret).first(32), 0));
  CHECK_FALSE(TrafficKey::make(0x1301, std::span(secret).first(48), 0));
  CHECK_FALSE(TrafficKey::make(0xc02b, std::span(secret).first(32), 0));
}

namespace {

// A writer and a reader under one secret, for records that BoringSSL would not send.
struct Forge {
  std::array<uint8_t, 48> secret{};
  TrafficKey key;
  RecordReader reader;
  std::vector<std::byte> record;  // the last one: what open() gives lies in it

  explicit Forge(uint16_t suite)
      : key(*TrafficKey::make(suite, std::span(secret).first(suite == 0x1302 ? 48 : 32), 7)),
        reader(*TrafficKey::make(suite, std::span(secret).first(suite == 0x1302 ? 48 : 32), 7)) {}
  RecordReader::Opened send(uint8_t type, std::string_view inner) {
    record.assign(inner.size() + kRecordOverheadBytes, std::byte{0});
    const std::span<const std::byte> piece = bytes_of(inner);
    REQUIRE(key.seal(type, {&piece, 1}, {reinterpret_cast<uint8_t*>(record.data()), record.size()}));
    return reader.open(record);
  }
};

}  // namespace

TEST_CASE("each suite opens what it sealed") {
  Forge forge(GENERATE(0x1301, 0x1302, 0x1303));
  for (int i = 0; i < 3; ++i) {
    const auto opened = forge.send(23, "data");
    REQUIRE(opened.kind == RecordReader::Kind::data);
    CHECK(std::string_view(reinterpret_cast<const char*>(opened.bytes.data()), opened.bytes.size()) ==
          "data");
  }
}

TEST_CASE("padding is taken off and records with nothing but padding are refused") {
  using namespace std::string_literals;
  Forge forge(0x1301);
  const auto padded = forge.send(0, "data\x17\0\0\0"s);  // type 23 inside, zeros behind
  REQUIRE(padded.kind == RecordReader::Kind::data);
  CHECK(padded.bytes.size() == 4);
  CHECK(forge.send(0, "\0\0\0"s).kind == RecordReader::Kind::broken);
}

TEST_CASE("inner records that TLS 1.3 does not know are refused") {
  using namespace std::string_literals;
  Forge forge(0x1301);
  SECTION("change_cipher_spec") { CHECK(forge.send(20, "\1").kind == RecordReader::Kind::broken); }
  SECTION("an unknown type") { CHECK(forge.send(99, "x").kind == RecordReader::Kind::broken); }
  SECTION("a handshake record without a message") {
    CHECK(forge.send(22, "").kind == RecordReader::Kind::broken);
  }
  SECTION("half a message") { CHECK(forge.send(22, "\x18\0\0"s).kind == RecordReader::Kind::broken); }
  SECTION("a message that is cut") {
    CHECK(forge.send(22, "\x18\0\0\1"s).kind == RecordReader::Kind::broken);
  }
  SECTION("a ClientHello") { CHECK(forge.send(22, "\1\0\0\0"s).kind == RecordReader::Kind::broken); }
  SECTION("KeyUpdate of two bytes") {
    CHECK(forge.send(22, "\x18\0\0\2\0\0"s).kind == RecordReader::Kind::broken);
  }
  SECTION("KeyUpdate with a value of its own") {
    CHECK(forge.send(22, "\x18\0\0\1\2"s).kind == RecordReader::Kind::broken);
  }
  SECTION("a message behind KeyUpdate") {
    CHECK(forge.send(22, "\x18\0\0\1\0\4\0\0\0"s).kind == RecordReader::Kind::broken);
  }
  SECTION("an alert of one byte") { CHECK(forge.send(21, "\2").kind == RecordReader::Kind::broken); }
  SECTION("a fatal alert") {
    const auto opened = forge.send(21, "\2\x28"s);
    CHECK(opened.kind == RecordReader::Kind::alert);
    CHECK(opened.alert == 40);
  }
  SECTION("close_notify") { CHECK(forge.send(21, "\1\0"s).kind == RecordReader::Kind::closed); }
  SECTION("user_canceled is skipped") {
    CHECK(forge.send(21, "\1\x5a"s).kind == RecordReader::Kind::nothing);
  }
}

TEST_CASE("the first session ticket of a record is handed on whole, and what stands behind it is followed") {
  Forge forge(0x1301);
  using namespace std::string_literals;
  const auto one = "\4\0\0\2xx"s;
  for (const std::string& behind : {""s, "\4\0\0\3yyy"s, "\x18\0\0\1\1"s}) {
    const auto opened = forge.send(22, one + behind);
    REQUIRE(opened.kind == RecordReader::Kind::ticket);
    CHECK(std::string_view(reinterpret_cast<const char*>(opened.bytes.data()), opened.bytes.size()) == one);
    CHECK(forge.reader.take_update_request() == (behind.size() == 5));
  }
}

TEST_CASE("empty records are skipped, but not for ever") {
  Forge forge(0x1301);
  for (int i = 0; i < 32; ++i) REQUIRE(forge.send(23, "").kind == RecordReader::Kind::nothing);
  SECTION("data in between starts the count again") {
    CHECK(forge.send(23, "x").kind == RecordReader::Kind::data);
    CHECK(forge.send(23, "").kind == RecordReader::Kind::nothing);
  }
  SECTION("the next one is too many") { CHECK(forge.send(23, "").kind == RecordReader::Kind::broken); }
}

TEST_CASE("a record replayed, left out or of too much plaintext does not open") {
  Forge forge(0x1301);
  REQUIRE(forge.send(23, "one").kind == RecordReader::Kind::data);
  SECTION("too much plaintext") {
    CHECK(forge.send(23, std::string(16385, 'x')).kind == RecordReader::Kind::broken);
  }
  SECTION("left out") {
    std::vector<uint8_t> lost(4 + kRecordOverheadBytes);
    const std::span<const std::byte> piece = bytes_of("two!");
    REQUIRE(forge.key.seal(23, {&piece, 1}, lost));
    CHECK(forge.send(23, "three").kind == RecordReader::Kind::broken);
  }
}

TEST_CASE("a record is put together from any pieces and foreign headers are seen at once") {
  RecordAssembly assembly;
  std::vector<std::byte> bytes(5 + 30, std::byte{9});
  bytes[0] = std::byte{23}, bytes[1] = bytes[2] = std::byte{3}, bytes[3] = std::byte{0},
  bytes[4] = std::byte{30};
  for (size_t i = 0; i + 1 < bytes.size(); ++i) {
    std::span<std::byte> one(&bytes[i], 1);
    REQUIRE(assembly.fill(one).value().empty());
  }
  std::span<std::byte> last(&bytes.back(), 1);
  const auto whole = assembly.fill(last);
  REQUIRE(whole);
  CHECK(std::equal(whole->begin(), whole->end(), bytes.begin(), bytes.end()));
  assembly.clear();
  CHECK(assembly.empty());
  std::array<std::byte, 5> foreign{std::byte{22}};
  std::span<std::byte> rest(foreign);
  CHECK_FALSE(assembly.fill(rest));
}

}  // namespace weir::tls::test

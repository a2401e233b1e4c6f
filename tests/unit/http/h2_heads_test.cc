// Heads that HPACK makes large of a few bytes: what the streams of a connection may hold of them is paid for by what their
// peer has sent (limits::h2_heads_gain), and an answer's 1xx heads have the limit of one head together.
#include "tests/unit/http/h2_raw_peer.h"

namespace weir::http::h2::test {
namespace {

using namespace std::chrono_literals;

const std::string kLong(2900, 'v');  // one field, most of the dynamic table

Fields bomb(size_t times) {
  Fields fields = get_fields();
  fields.insert(fields.end(), times, {"x", kLong});
  return fields;
}

uint32_t id_of(uint32_t i) { return 2 * i + 1; }

// Which of a hundred such requests are accepted, none of them over.
std::vector<uint32_t> accepted(Raw& raw, const Fields& fields) {
  std::vector<uint32_t> taken;
  for (uint32_t i = 0; i < 100; ++i) {
    if (!raw.say(raw.hpack.headers(id_of(i), fields, false))) break;
    if (raw.end.streams.contains(id_of(i))) taken.push_back(id_of(i));
  }
  return taken;
}

}  // namespace

TEST_CASE("large heads made of a few bytes are refused while others like them are held") {
  Raw raw(Role::server);
  const std::vector<uint32_t> taken = accepted(raw, bomb(20));
  CHECK_FALSE(taken.empty());
  CHECK(taken.size() < 10);  // of 60 KB each, for 2 KB and 40 bytes each
  CHECK(raw.end.connection->counters().heads_refused == 100 - taken.size());
  CHECK(raw.reset_code(id_of(99)) == kRefusedStream);

  SECTION("when those are over, they are taken again") {
    for (const uint32_t id : taken) {
      REQUIRE(raw.end.connection->respond(id, answer(), true));
      raw.end.connection->release(id);
    }
    raw.listen();
    REQUIRE(raw.say(raw.hpack.headers(id_of(100), bomb(20))));
    CHECK(raw.end.streams.contains(id_of(100)));
  }
  SECTION("a head that its sender has paid for is taken meanwhile") {
    REQUIRE(raw.say(raw.hpack.headers(id_of(100), get_fields({{"y", std::string(1000, 'y')}}))));
    CHECK(raw.end.streams.contains(id_of(100)));
  }
}

TEST_CASE("a client that repeats two KiB of credentials may have all of its streams at once") {
  Raw raw(Role::server);
  CHECK(accepted(raw, get_fields({{"authorization", "Bearer " + std::string(2000, 't')},
                                  {"user-agent", "grpc-go/1.70.0"},
                                  {"te", "trailers"}}))
            .size() == 100);
}

TEST_CASE("a peer that goes on asking for large heads of a few bytes is ended") {
  Raw raw(Role::server);
  uint32_t i = 0;
  while (i < 5000 && raw.say(raw.hpack.headers(id_of(i), bomb(20), false))) ++i;
  CHECK(i < 1000);
  CHECK(raw.goaway_code() == kEnhanceYourCalm);
}

TEST_CASE("trailers and answers made of a few bytes are held to the same") {
  SECTION("trailers") {
    Raw raw(Role::server);
    for (uint32_t i = 0; i < 50; ++i) REQUIRE(raw.say(raw.hpack.headers(id_of(i), get_fields(), false)));
    const Fields trailers(20, {"x", kLong});
    for (uint32_t i = 0; i < 50; ++i) REQUIRE(raw.say(raw.hpack.headers(id_of(i), trailers)));
    CHECK(raw.reset_code(id_of(0)) == -1);
    CHECK(raw.reset_code(id_of(49)) == kEnhanceYourCalm);
    CHECK(raw.end.streams.at(id_of(49)).reset == Reason::head_too_large);
  }
  SECTION("answers") {
    Raw raw(Role::client);
    std::vector<uint32_t> ids;
    for (int i = 0; i < 50; ++i) ids.push_back(raw.end.request(get()));
    raw.listen();
    Fields fields = {{":status", "200"}};
    fields.insert(fields.end(), 20, {"x", kLong});
    for (const uint32_t id : ids) REQUIRE(raw.say(raw.hpack.headers(id, fields, false)));
    CHECK(raw.reset_code(ids.front()) == -1);
    CHECK(raw.reset_code(ids.back()) == kEnhanceYourCalm);
  }
}

TEST_CASE("an answer's informational heads have the limit of one head together") {
  Raw raw(Role::client);
  const uint32_t id = raw.end.request(get());
  raw.listen();
  const Fields hints = {{":status", "103"}, {"link", std::string(4000, 'l')}};
  int said = 0;
  while (said < 100 && raw.reset_code(id) < 0) {
    REQUIRE(raw.say(raw.hpack.headers(id, hints, false)));
    ++said;
    raw.end.now += 1s;
  }
  CHECK(said == 17);  // 16 times 4,078 bytes fit 64 KiB
  CHECK(raw.reset_code(id) == kEnhanceYourCalm);
  CHECK(raw.end.streams.at(id).reset == Reason::head_too_large);
}

}  // namespace weir::http::h2::test

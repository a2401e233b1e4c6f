// Peers that ask for work and give nothing: the connection ends with ENHANCE_YOUR_CALM, reason flood, and one that does
// the same in proportion to useful work, or slowly, goes on.
#include "tests/unit/http/h2_raw_peer.h"

namespace weir::http::h2::test {
namespace {

using namespace std::chrono_literals;

const std::string kPing = frame(FrameType::ping, 0, 0, "12345678");

// How often it can be said until the connection ends; `most` when it never does.
template <typename Say>
int until_flood(Raw& raw, int most, Say&& say) {
  for (int i = 0; i < most; ++i) {
    if (raw.say(say(i))) continue;
    CHECK(raw.end.connection->ended()->reason == Reason::flood);
    CHECK(raw.goaway_code() == kEnhanceYourCalm);
    CHECK_FALSE(raw.end.connection->wants_output());
    CHECK(raw.end.connection->finished());
    return i;
  }
  return most;
}

uint32_t id_of(int i) { return static_cast<uint32_t>(2 * i + 1); }

}  // namespace

TEST_CASE("a flood of frames that carry nothing ends the connection") {
  Raw raw(Role::server);
  int said = 0;
  SECTION("PING") {
    said = until_flood(raw, 5000, [](int) { return kPing; });
  }
  SECTION("PING ACK that nobody asked for") {
    said = until_flood(raw, 5000, [](int) { return frame(FrameType::ping, kFlagAck, 0, "12345678"); });
  }
  SECTION("SETTINGS") {
    said = until_flood(raw, 5000, [](int) { return frame(FrameType::settings, 0, 0); });
    CHECK(said < 200);
  }
  SECTION("empty DATA") {
    REQUIRE(raw.say(raw.hpack.headers(1, get_fields(), false)));
    said = until_flood(raw, 5000, [](int) { return data(1, ""); });
  }
  SECTION("DATA of padding alone") {
    REQUIRE(raw.say(raw.hpack.headers(1, get_fields(), false)));
    said = until_flood(raw, 5000,
                       [](int) { return frame(FrameType::data, kPadded, 1, std::string(3, '\x02')); });
  }
  SECTION("PRIORITY") {
    said = until_flood(raw, 5000,
                       [](int i) { return frame(FrameType::priority, 0, id_of(i), number(0) + "\x10"); });
  }
  SECTION("WINDOW_UPDATE of the connection") {
    said = until_flood(raw, 5000, [](int) { return window_update(0, 1); });
  }
  SECTION("WINDOW_UPDATE of a stream") {
    REQUIRE(raw.say(raw.hpack.headers(1, get_fields(), false)));
    said = until_flood(raw, 5000, [](int) { return window_update(1, 1); });
  }
  SECTION("GOAWAY") {
    said = until_flood(raw, 5000, [](int) { return frame(FrameType::goaway, 0, 0, number(0) + number(0)); });
  }
  SECTION("unknown frames") {
    said = until_flood(raw, 5000, [](int) { return frame(static_cast<FrameType>(0x77), 0, 0); });
  }
  CHECK(said > 50);
  CHECK(said < 2500);
}

TEST_CASE("rapid resets end the connection") {
  Raw raw(Role::server);
  raw.end.auto_release = true;
  const int said = until_flood(
      raw, 5000, [&](int i) { return raw.hpack.headers(id_of(i), get_fields()) + rst(id_of(i), kCancel); });
  CHECK(said > 400);
  CHECK(said < 600);
  CHECK(std::string(raw.end.connection->broken_rule()).find("before an answer") != std::string::npos);
}

TEST_CASE("resets that we are provoked into end the connection") {
  Raw raw(Role::server);
  raw.end.auto_release = true;
  int said = 0;
  SECTION("malformed requests") {
    said =
        until_flood(raw, 5000, [&](int i) { return raw.hpack.headers(id_of(i), get_fields({{"te", "x"}})); });
  }
  SECTION("malformed requests that only we see") {
    Fields fields = get_fields();
    fields[3].second = "/#";
    said = until_flood(raw, 5000, [&](int i) { return raw.hpack.headers(id_of(i), fields); });
  }
  SECTION("windows beyond 2^31") {
    said = until_flood(raw, 5000, [&](int i) {
      return raw.hpack.headers(id_of(i), get_fields(), false) + window_update(id_of(i), 0x7fffffff);
    });
  }
  SECTION("DATA unlike content-length") {
    said = until_flood(raw, 5000, [&](int i) {
      return raw.hpack.headers(id_of(i), get_fields({{"content-length", "1"}}), false) +
             data(id_of(i), "", true);
    });
  }
  SECTION("DATA after the end of a stream") {
    REQUIRE(raw.say(raw.hpack.headers(1, get_fields())));
    said = until_flood(raw, 5000, [&](int i) {
      const uint32_t id = id_of(i);
      REQUIRE(raw.end.connection->respond(id, answer(), true));
      raw.listen();
      return data(id, "x") + raw.hpack.headers(id + 2, get_fields());
    });
  }
  CHECK(said > 200);
  CHECK(said < 600);  // the last kind serves a stream for each that it breaks
}

TEST_CASE("streams opened above the limit again and again end the connection") {
  Settings settings;
  settings.streams_max = 1;
  Raw raw(Role::server, settings);
  REQUIRE(raw.say(raw.hpack.headers(1, get_fields(), false) + rst(1, kCancel)));  // not released: it counts
  const int said =
      until_flood(raw, 5000, [&](int i) { return raw.hpack.headers(id_of(i + 1), get_fields()); });
  CHECK(said > 400);
  CHECK(said < 600);
}

TEST_CASE("more than eight CONTINUATION frames end the connection, eight do not") {
  Raw raw(Role::server);
  const std::string block = raw.hpack.block(get_fields());
  const int pieces = GENERATE(8, 9);
  std::string wire = frame(FrameType::headers, kEndStream, 1, block.substr(0, 1));
  for (int i = 1; i < pieces; ++i)
    wire += frame(FrameType::continuation, 0, 1, block.substr(static_cast<size_t>(i), 1));
  wire += frame(FrameType::continuation, kEndHeaders, 1, block.substr(static_cast<size_t>(pieces)));
  // A frame's header that comes in pieces is still one frame.
  bool goes_on = true;
  for (size_t i = 0; i < wire.size() && goes_on; ++i) goes_on = raw.say(wire.substr(i, 1));
  CHECK(goes_on == (pieces == 8));
  CHECK(raw.end.streams.count(1) == (pieces == 8 ? 1u : 0u));
  if (pieces == 9) CHECK(raw.end.connection->ended()->reason == Reason::flood);
}

TEST_CASE("CONTINUATION frames of a refused stream are counted too") {
  Settings settings;
  settings.streams_max = 1;
  Raw raw(Role::server, settings);
  REQUIRE(raw.say(raw.hpack.headers(1, get_fields(), false)));
  REQUIRE(raw.say(rst(1, kCancel)));
  REQUIRE(raw.say(frame(FrameType::headers, kEndStream, 3, "")));
  const int said = until_flood(raw, 20, [](int) { return frame(FrameType::continuation, 0, 3, ""); });
  CHECK(said == 8);
}

TEST_CASE("endless informational answers end the connection") {
  Raw raw(Role::client);
  const uint32_t id = raw.end.request(get());
  raw.listen();
  const int said =
      until_flood(raw, 5000, [&](int) { return raw.hpack.headers(id, {{":status", "103"}}, false); });
  CHECK(said > 500);
  CHECK(said < 2000);
  CHECK(raw.end.streams.at(id).reset == Reason::flood);
}

TEST_CASE("a peer that does not read the answers to its control frames is ended while they are few") {
  Raw raw(Role::server);
  REQUIRE(raw.say(raw.hpack.headers(1, get_fields(), false)));
  const std::string pings = kPing + kPing + kPing + kPing;
  int said = 0;
  while (raw.end.feed(bytes_of(pings)) && said < 5000) {
    ++said;
    raw.end.now += 1s;  // slowly enough for the bucket
  }
  CHECK(said < 300);
  CHECK(raw.end.connection->ended()->reason == Reason::flood);
  CHECK(raw.end.streams.at(1).reset == Reason::flood);
  CHECK(raw.end.streams.at(1).code == kEnhanceYourCalm);
}

TEST_CASE("keepalive PINGs go on for days") {
  Raw raw(Role::server);
  for (int i = 0; i < 50'000; ++i) {
    raw.end.now += 10s;
    if (!raw.say(kPing)) FAIL("ended after " << i);
  }
  CHECK(raw.count(FrameType::ping) == 50'000);
}

TEST_CASE("a client that cancels as many streams as it lets finish goes on") {
  Raw raw(Role::server);
  raw.end.auto_release = true;
  for (int i = 0; i < 20'000; ++i) {
    const uint32_t id = id_of(i);
    if (!raw.say(raw.hpack.headers(id, get_fields()))) FAIL("ended after " << i);
    if (i % 2) {
      if (!raw.say(rst(id, kCancel))) FAIL("ended after " << i);
    } else {
      REQUIRE(raw.end.connection->respond(id, answer(), true));
      raw.listen();
    }
    raw.got.clear();
  }
}

TEST_CASE("a slow trickle of resets goes on, since the bucket leaks") {
  Raw raw(Role::server);
  raw.end.auto_release = true;
  for (int i = 0; i < 5'000; ++i) {
    raw.end.now += 50ms;
    if (!raw.say(raw.hpack.headers(id_of(i), get_fields()) + rst(id_of(i), kCancel)))
      FAIL("ended after " << i);
  }
}

TEST_CASE("a reader that returns credit for every 4 KiB, on stream and connection, goes on") {
  Raw raw(Role::server);
  REQUIRE(
      raw.say(window_update(0, 1 << 30) + raw.hpack.headers(1, get_fields()) + window_update(1, 1 << 30)));
  REQUIRE(raw.end.connection->respond(1, answer(), false));
  for (int i = 0; i < 2'000; ++i) {  // 32 MB before the first update comes
    raw.end.write(1, std::string(16'384, 'x'));
    raw.end.output();
  }
  for (int i = 0; i < 8'000; ++i)
    if (!raw.say(window_update(1, 4096) + window_update(0, 4096))) FAIL("ended after " << i);
}

TEST_CASE("credit for small messages as they come goes on") {
  Raw raw(Role::server);
  REQUIRE(raw.say(raw.hpack.headers(1, get_fields())));
  REQUIRE(raw.end.connection->respond(1, answer(), false));
  for (int i = 0; i < 10'000; ++i) {
    raw.end.write(1, "a message");
    raw.end.output();
    if (!raw.say(window_update(1, 9) + window_update(0, 9))) FAIL("ended after " << i);
  }
}

TEST_CASE("a download does not pay for rapid resets") {
  Raw raw(Role::server);
  raw.end.auto_release = true;
  REQUIRE(
      raw.say(window_update(0, 1 << 30) + raw.hpack.headers(1, get_fields()) + window_update(1, 1 << 30)));
  REQUIRE(raw.end.connection->respond(1, answer(), false));
  for (int i = 0; i < 1'000; ++i) {
    raw.end.write(1, std::string(16'384, 'x'));
    raw.end.output();
  }
  CHECK(until_flood(raw, 5000, [&](int i) {
          return raw.hpack.headers(id_of(i + 1), get_fields()) + rst(id_of(i + 1), kCancel);
        }) < 600);
}

}  // namespace weir::http::h2::test

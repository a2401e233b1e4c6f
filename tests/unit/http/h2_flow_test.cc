// Flow control of HTTP/2: who waits for whom, what memory it takes, and whose turn it is.
#include "tests/unit/http/h2_raw_peer.h"

namespace weir::http::h2::test {
namespace {

constexpr size_t kFirstWindow = limits::h2_stream_window_initial_bytes;

}  // namespace

TEST_CASE("a reader that takes nothing stalls its writer at the first window, and nobody else") {
  Joined j;
  j.server.auto_consume = false;
  std::vector<uint32_t> stalled;
  for (int i = 0; i < 40; ++i) {  // more than the connection's window together
    stalled.push_back(j.client.request(post(), false));
    j.client.write(stalled.back(), std::string(200'000, 's'));
  }
  j.settle();
  for (const uint32_t id : stalled) {
    CHECK(j.server.streams.at(id).body.size() == kFirstWindow);
    CHECK(j.server.connection->unconsumed_bytes(id) == kFirstWindow);
    CHECK(j.client.connection->queued_bytes(id) == 200'000 - kFirstWindow);
  }
  j.server.auto_consume = true;
  const uint32_t moving = j.client.request(post(), false);
  j.client.write(moving, std::string(3'000'000, 'm'));
  j.client.connection->finish(moving);
  j.settle();
  CHECK(j.server.streams.at(moving).body.size() == 3'000'000);
  CHECK(j.server.streams.at(moving).end);
  CHECK(j.server.streams.at(stalled[0]).body.size() == kFirstWindow);
}

TEST_CASE("a stalled stream goes on when its reader consumes") {
  Joined j;
  j.server.auto_consume = false;
  const uint32_t id = j.client.request(post(), false);
  j.client.write(id, std::string(100'000, 's'));
  j.client.connection->finish(id);
  j.settle();
  REQUIRE(j.server.streams.at(id).body.size() == kFirstWindow);
  j.server.connection->consume(id, 1'000'000);  // no more than there is
  CHECK(j.server.connection->unconsumed_bytes(id) == 0);
  j.settle();
  CHECK(j.server.streams.at(id).body.size() == 100'000);
  CHECK(j.server.streams.at(id).end);
}

TEST_CASE("a window grows by use to its most and a reader that falls behind does not grow it") {
  Joined j;
  const uint32_t id = j.client.request(post(), false);
  for (int i = 0; i < 8; ++i) {
    j.client.write(id, std::string(1'000'000, 'g'));
    j.settle();
  }
  CHECK(j.server.streams.at(id).body.size() == 8'000'000);
  j.server.auto_consume = false;
  j.client.write(id, std::string(4'000'000, 'g'));
  j.settle();
  const size_t lying = j.server.connection->unconsumed_bytes(id);
  CHECK(lying <= limits::h2_stream_window_max_bytes);
  CHECK(lying > limits::h2_stream_window_max_bytes / 2);

  const uint32_t lazy = j.client.request(post(), false);
  j.client.write(lazy, std::string(4'000'000, 'l'));
  constexpr size_t kBehind = kFirstWindow * 3 / 8;  // always so much is left lying
  for (int i = 0; i < 40; ++i) {
    j.settle();
    const size_t there = j.server.connection->unconsumed_bytes(lazy);
    CHECK(there <= kFirstWindow);
    REQUIRE(there > kBehind);
    j.server.connection->consume(lazy, there - kBehind);
  }
  CHECK(j.server.streams.at(lazy).body.size() > 20 * kFirstWindow);
}

TEST_CASE("windows of reset streams are returned to the connection") {
  Raw raw(Role::server);
  raw.end.auto_consume = false;
  raw.end.auto_release = true;
  // Ten times the connection's window, on streams that are then reset by either side, nothing of it consumed.
  uint64_t sent = 0, credit = kFirstWindow;
  for (uint32_t id = 1; id < 2 * 320; id += 2) {
    REQUIRE(raw.say(raw.hpack.headers(id, get_fields(), false)));
    for (int i = 0; i < 3; ++i) REQUIRE(raw.say(data(id, std::string(16'000, 'x'))));
    if (id % 4 == 1) {
      REQUIRE(raw.say(rst(id, kNoError)));
    } else {
      raw.end.connection->reset(id, kCancel);
      REQUIRE(raw.say(data(id, std::string(4'000, 'x'))));  // was under way
      sent += 4'000;
    }
    sent += 48'000;
    raw.end.now += std::chrono::seconds(1);
  }
  for (const Frame& one : raw.got)
    if (one.is(FrameType::window_update) && one.header.stream == 0) credit += one.code();
  CHECK(sent > 10 * limits::h2_connection_window_bytes);
  CHECK(credit + limits::h2_connection_window_bytes >= sent + limits::h2_connection_window_bytes / 2);
}

TEST_CASE("more than the stream's window is a stream error") {
  Raw raw(Role::server);
  raw.end.auto_consume = false;
  REQUIRE(raw.say(raw.hpack.headers(1, get_fields(), false)));
  for (int i = 0; i < 4; ++i) REQUIRE(raw.say(data(1, std::string(16'384, 'x'))));
  CHECK(raw.reset_code(1) == 3);  // FLOW_CONTROL_ERROR
  CHECK(raw.end.streams.at(1).reset == Reason::bad_request);
  CHECK(raw.end.streams.at(1).body.size() <= kFirstWindow + 16'384);
}

TEST_CASE("an owner hears when what it queued has drained") {
  Joined j;
  j.server.auto_consume = false;
  const uint32_t id = j.client.request(post(), false);
  j.client.write(id, std::string(10'000, 'x'));
  j.settle();
  CHECK(j.client.streams[id].drained == 0);  // never was above
  j.client.write(id, std::string(120'000, 'x'));
  j.settle();
  CHECK(j.client.streams[id].drained == 0);  // stuck in the window, still above
  CHECK(j.client.connection->queued_bytes(id) > kSendLowWaterBytes);
  j.server.connection->consume(id, kFirstWindow);
  j.settle();
  CHECK(j.client.streams[id].drained == 1);
}

TEST_CASE("streams share a connection evenly in both directions, and a new one does not wait behind bulk") {
  Settings wide;
  wide.window_bytes = wide.window_max_bytes = wide.connection_window_bytes = 1 << 28;
  Joined j(wide, wide);
  std::vector<uint32_t> bulk;
  for (int i = 0; i < 4; ++i) bulk.push_back(j.client.request(post(), false));
  j.settle();
  End& from = GENERATE(true, false) ? j.client : j.server;
  for (const uint32_t id : bulk) {
    if (&from == &j.server) REQUIRE(from.connection->respond(id, answer(), false));
    for (int i = 0; i < 100; ++i) from.write(id, std::string(20'000, 'b'));
  }
  size_t produced = 0;
  while (produced < 4'000'000) produced += from.output(65'536).size();
  for (const uint32_t id : bulk) {
    CHECK(from.connection->queued_bytes(id) > 900'000);
    CHECK(from.connection->queued_bytes(id) < 1'100'000);
  }
  uint32_t small = 0;
  if (&from == &j.client) {
    small = from.request(post(), false);
  } else {
    small = j.client.request(get());
    REQUIRE(j.server.feed(j.client.output()));
    REQUIRE(from.connection->respond(small, answer(), false));
  }
  from.write(small, "small");
  produced = 0;
  while (from.connection->queued_bytes(small) > 0) produced += from.output(16'384).size();
  CHECK(produced <= 5 * 16'384 + 1'000);
}

TEST_CASE("buffers are given back when a stream is reset, and writing to it takes none") {
  Joined j;
  const uint32_t id = j.client.request(post(), false);
  for (int i = 0; i < 300; ++i) j.client.write(id, std::string(1'000, 'x'));
  CHECK(j.client.connection->queued_bytes(id) == 300'000);
  j.client.connection->reset(id, kCancel);
  CHECK(j.client.connection->queued_bytes(id) == 0);
  j.client.write(id, "more");
  CHECK(j.client.connection->queued_bytes(id) == 0);
}

}  // namespace weir::http::h2::test

// A WebSocket that one version asks for and the other serves (RFC 8441 section 5), in both directions; and that nothing
// a client says reaches a server before there is a tunnel.
#include "nodeproxy/http/h1_client.h"
#include "nodeproxy/http/websocket.h"
#include "tests/unit/http/h2_pair.h"

namespace weir::http::test {
namespace {

constexpr std::string_view kKey = "dGhlIHNhbXBsZSBub25jZQ==", kAccept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

// An extended CONNECT as HTTP/2's reader gives it, towards a server of HTTP/1.1.
struct ToH1 {
  Wire in, out;
  Pool pool;
  Loop loop;
  H1Client client{loop.driver, std::make_unique<MemoryStream>(in, out), pool};
  Head head = get("/chat");
  MessageStream* stream = nullptr;

  ToH1() {
    client.start();
    head.version = Version::http_2;
    head.upgrade = "websocket";
    head.headers.add("sec-websocket-version", "13");
    stream = &client.begin();
  }
  ~ToH1() {
    if (stream) client.give_back(*stream);
    client.end(Reason::cancelled);
    loop.world.run_until([&] { return client.empty(); });
    loop.stop();
  }

  Status write(Piece piece) { return loop.run(stream->write(std::move(piece), io::kNever)); }
  Result<Piece> read() { return loop.run(stream->read(io::kNever)); }
  // Asks, and gives the key that was sent with it.
  std::string ask() {
    REQUIRE(write(piece(&head, {}, false)));
    const std::string asked = out.take();
    CHECK(asked.starts_with("GET /chat HTTP/1.1\r\nHost: s\r\n"));
    CHECK(asked.ends_with("Connection: upgrade\r\nUpgrade: " + head.upgrade + "\r\n\r\n"));
    CHECK(asked.find("chunked") == std::string::npos);
    CHECK(asked.find("Content-Length") == std::string::npos);
    const std::string field = "Sec-WebSocket-Key: ";
    const size_t at = asked.find(field);
    return at == std::string::npos ? "" : asked.substr(at + field.size(), 24);
  }
  void switches(const std::string& accept) {
    in.say("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: " + head.upgrade + "\r\n" +
           accept + "Sec-WebSocket-Protocol: chat\r\n\r\nframes");
  }
};

TEST_CASE("an extended CONNECT asks a server of HTTP/1.1 with GET and a key, and its 101 becomes 200") {
  ToH1 test;
  const std::string key = test.ask();
  REQUIRE(websocket::is_key(key));
  test.switches("Sec-WebSocket-Accept: " + websocket::accept(key) + "\r\n");
  const auto head = test.read();
  REQUIRE(head);
  CHECK(head->head->status == 200);
  CHECK(head->head->upgrade.empty());
  CHECK(!head->head->headers.get("sec-websocket-accept"));
  CHECK(head->head->headers.get("sec-websocket-protocol") == "chat");
  const auto bytes = test.read();
  REQUIRE(bytes);
  CHECK(text_of(bytes->body) == "frames");
  REQUIRE(test.write(piece(nullptr, "masked", false)));
  CHECK(test.out.take() == "masked");
  REQUIRE(test.write(piece(nullptr)));
  CHECK(test.out.fin);
}

TEST_CASE("a 101 that does not accept our key, and a 2xx that switches nothing, are bad responses") {
  ToH1 test;
  const std::string key = test.ask();
  SECTION("of another key") { test.switches("Sec-WebSocket-Accept: " + std::string(kAccept) + "\r\n"); }
  SECTION("of none") { test.switches(""); }
  SECTION("200") { test.in.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"); }
  const auto got = test.read();
  REQUIRE_FALSE(got);
  CHECK(got.error().reason == Reason::bad_response);
  CHECK(got.error().source == Source::upstream);
}

TEST_CASE("a refusal of an extended CONNECT passes as it is, and the connection is fit for another request") {
  ToH1 test;
  test.ask();
  test.in.say("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
  const auto got = test.read();
  REQUIRE(got);
  CHECK(got->head->status == 403);
  CHECK(text_of(got->body) == "no");
  CHECK(got->end);
  test.client.give_back(*test.stream);
  REQUIRE(test.client.can_begin());
  test.stream = &test.client.begin();
}

TEST_CASE("another protocol than WebSocket crosses without a key") {
  ToH1 test;
  test.head.upgrade = "connect-udp";
  CHECK(test.ask().empty());
  test.switches("");
  const auto got = test.read();
  REQUIRE(got);
  CHECK(got->head->status == 200);
}

TEST_CASE("nothing that a client says goes to a server of HTTP/1.1 before there is a tunnel") {
  ToH1 test;
  SECTION("an extended CONNECT") {}
  SECTION("a CONNECT") {
    test.head.method = "CONNECT";
    test.head.authority = "s:1";
    test.head.path.clear();
    test.head.upgrade.clear();
  }
  SECTION("with its head") {
    REQUIRE_FALSE(test.write(piece(&test.head, "GET /hidden HTTP/1.1\r\n", false)));
    CHECK(test.out.bytes.find("hidden") == std::string::npos);
    return;
  }
  REQUIRE(test.write(piece(&test.head, {}, false)));
  test.out.take();
  const Status early = test.write(piece(nullptr, "GET /hidden HTTP/1.1\r\nHost: s\r\n\r\n", false));
  REQUIRE_FALSE(early);
  CHECK(early.error().reason == Reason::internal);
  CHECK(test.out.bytes.empty());
}

TEST_CASE("a tunnel into HTTP/1.1 ends with a FIN only if its client has ended it") {
  ToH1 test;
  const std::string key = test.ask();
  test.switches("Sec-WebSocket-Accept: " + websocket::accept(key) + "\r\n");
  test.in.finish();
  REQUIRE(test.read());
  while (true) {
    const auto got = test.read();
    REQUIRE(got);
    if (got->end) break;
  }
  test.client.give_back(*test.stream);
  CHECK(test.out.abandoned);
  CHECK(!test.out.fin);
  test.stream = nullptr;
}

// What HTTP/1.1 asks to switch to, towards a server of HTTP/2.
Head upgrade(std::string_view protocol = "websocket", std::string_view key = kKey) {
  Head head = get("/chat");
  head.upgrade = protocol;
  head.headers.add("Sec-WebSocket-Version", "13");
  if (!key.empty()) head.headers.add("Sec-WebSocket-Key", key);
  return head;
}

TEST_CASE("an upgrade to WebSocket asks a server of HTTP/2 with extended CONNECT, and its 200 becomes 101") {
  Pair test;
  MessageStream& stream = test.ask(upgrade());
  REQUIRE(test.requests.all.size() == 1);
  const auto& request = test.requests.all[0];
  CHECK(request.head.is_extended_connect());
  CHECK(request.head.upgrade == "websocket");
  CHECK(request.method == "GET");
  CHECK(!request.head.headers.get("sec-websocket-key"));
  CHECK(request.head.headers.get("sec-websocket-version") == "13");
  CHECK(!request.end);  // the GET's end is not the tunnel's
  test.answer(*request.stream, 200, "frames", false);
  const auto got = test.loop.run(stream.read(io::kNever));
  REQUIRE(got);
  CHECK(got->head->status == 101);
  CHECK(got->head->upgrade == "websocket");
  CHECK(got->head->headers.get("sec-websocket-accept") == kAccept);
  CHECK(text_of(got->body) == "frames");
  REQUIRE(test.loop.run(stream.write(piece(nullptr, "masked"), io::kNever)));
  CHECK(test.read(*request.stream).text == "masked");
  test.client.give_back(stream);
}

// A tunnel whose server has said its last, and waits for what its client has to say still.
struct HalfEnded : Pair {
  MessageStream& stream = ask(upgrade());
  MessageStream& server_stream = *requests.all[0].stream;
  HalfEnded() {
    answer(server_stream, 200, "frames");
    CHECK(read(stream).text == "frames");
  }
};

TEST_CASE("the last write into a tunnel returns when all of it is out, as its connection may go then") {
  HalfEnded test;
  const std::string last(limits::h2_stream_window_initial_bytes + 10'000, 'x');
  const auto written = test.loop.start(test.stream.write(piece(nullptr, last), io::kNever));
  test.loop.idle();
  CHECK(!written->has_value());
  std::string got;
  SECTION("read to its end") {
    got = test.read(test.server_stream).text;
    test.loop.idle();
    REQUIRE(written->has_value());
    CHECK((*written)->has_value());
    CHECK(got == last);
  }
  SECTION("reset") {
    give_up(test.server_stream, Reason::cancelled);
    test.loop.idle();
    REQUIRE(written->has_value());
    CHECK_FALSE((*written)->has_value());
  }
  test.client.give_back(test.stream);
}

TEST_CASE("a connection that goes behind the end of a tunnel waits for a server that reads slowly") {
  HalfEnded test;
  test.up.undelivered = true;
  REQUIRE(test.loop.run(test.stream.write(piece(nullptr, "last"), io::kNever)));
  test.client.give_back(test.stream);
  test.client.end(Reason::none);
  test.loop.world.run_for(10min);
  CHECK(test.up.fin);
  CHECK(!test.up.abandoned);
  test.up.undelivered = false;  // it may have read all of it and not its end
  test.loop.world.run_for(2s);
  CHECK(test.pool.ended == 1);
  CHECK(test.up.abandoned);
}

TEST_CASE(
    "a tunnel's server has half a minute to close behind the last bytes, and for undelivered ones an hour") {
  HalfEnded test;
  test.up.undelivered = GENERATE(false, true);
  REQUIRE(test.loop.run(test.stream.write(piece(nullptr, "last"), io::kNever)));
  test.client.give_back(test.stream);
  test.client.end(Reason::none);
  const auto most =
      test.up.undelivered ? std::chrono::seconds(limits::half_closed_timeout) : limits::http_linger_max;
  test.loop.world.run_for(most - 2s);
  CHECK(!test.up.abandoned);
  test.loop.world.run_for(4s);
  CHECK(test.up.abandoned);
}

TEST_CASE("who speaks into a tunnel that its server has ended hears of its loss") {
  HalfEnded test;
  Watcher watcher, later;
  test.stream.watch(&watcher);
  SECTION("with the connection") { test.down.reset(); }
  SECTION("by a reset") { give_up(test.server_stream, Reason::cancelled); }
  test.loop.idle();
  CHECK(watcher.told);
  test.stream.watch(&later);
  CHECK(later.told);
  CHECK_FALSE(test.loop.run(test.stream.write(piece(nullptr, "x"), io::kNever)));
  test.client.give_back(test.stream);
}

TEST_CASE("a refusal of an upgrade by a server of HTTP/2 passes as it is") {
  Pair test;
  MessageStream& stream = test.ask(upgrade());
  test.answer(*test.requests.all[0].stream, 426, "older");
  const auto got = test.read(stream);
  CHECK(got.status == 426);
  CHECK(got.text == "older");
  test.client.give_back(stream);
}

TEST_CASE("a WebSocket without a valid key, or with a body, is no request") {
  Pair test;
  Head head = upgrade("websocket", "");
  std::string_view body;
  SECTION("none") {}
  SECTION("of no 16 bytes") { head.headers.add("Sec-WebSocket-Key", "short"); }
  SECTION("two") {
    head.headers.add("Sec-WebSocket-Key", kKey);
    head.headers.add("Sec-WebSocket-Key", kKey);
  }
  SECTION("a body") {
    head.headers.add("Sec-WebSocket-Key", kKey);
    body = "x";
  }
  MessageStream& stream = test.client.begin();
  const Status written = test.loop.run(stream.write(piece(&head, body), io::kNever));
  REQUIRE_FALSE(written);
  CHECK(written.error().reason == Reason::bad_request);
  test.loop.idle();
  CHECK(test.requests.all.empty());
  test.client.give_back(stream);
}

TEST_CASE("what HTTP/2 has no word for is left out of a request that goes on without it") {
  Pair test;
  Head head = upgrade("foo/1");
  SECTION("another protocol") {}
  SECTION("another method") {
    head.upgrade = "websocket";
    head.method = "POST";
  }
  const std::string method = head.method;
  MessageStream& stream = test.ask(head);
  REQUIRE(test.requests.all.size() == 1);
  CHECK(test.requests.all[0].method == method);
  CHECK(test.requests.all[0].head.upgrade.empty());
  CHECK(test.requests.all[0].end);
  test.answer(*test.requests.all[0].stream);
  CHECK(test.read(stream).status == 200);
  test.client.give_back(stream);
}

TEST_CASE("a WebSocket waits for the server's settings, and is refused where they do not take it") {
  Pair test(false);
  Head head = upgrade();
  MessageStream& stream = test.client.begin();
  const auto written = test.loop.start(stream.write(piece(&head), io::kNever));
  test.loop.idle();
  CHECK(!written->has_value());
  SECTION("settings that take it") {
    test.loop.scope.spawn(test.server.write());
    test.loop.scope.spawn(test.server.read());
    test.loop.idle();
    REQUIRE(written->has_value());
    CHECK((*written)->has_value());
    CHECK(test.requests.all.size() == 1);
  }
  SECTION("settings that do not") {
    test.down.say(std::string("\0\0\0\x04\0\0\0\0\0", 9));  // RFC 9113 section 6.5, empty
    test.loop.idle();
    REQUIRE(written->has_value());
    REQUIRE_FALSE(**written);
    CHECK((**written).error().reason == Reason::upgrade_refused);
    CHECK((**written).error().source == Source::upstream);
  }
  SECTION("none in time") {
    test.loop.world.run_for(10s);
    REQUIRE(written->has_value());
    REQUIRE_FALSE(**written);
    CHECK((**written).error().reason == Reason::upgrade_refused);
  }
  SECTION("the end of the connection") {
    test.down.finish();
    test.loop.idle();
    REQUIRE(written->has_value());
    REQUIRE_FALSE(**written);
    CHECK((**written).error().reason == Reason::server_reset);
  }
  test.client.give_back(stream);
}

}  // namespace
}  // namespace weir::http::test

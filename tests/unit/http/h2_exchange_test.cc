// Requests and answers between an HTTP/2 client and server of ours: what goes in comes out, in one form.
#include "tests/unit/http/h2_harness.h"

namespace weir::http::h2::test {
namespace {

std::string field(const Head& head, std::string_view name) {
  return std::string(head.headers.get(name).value_or("-"));
}

}  // namespace

TEST_CASE("an HTTP/2 request and its answer arrive as they were sent") {
  Joined j;
  Head head = post("/a?b=c");
  head.headers.add("x-one", "1");
  head.headers.add("te", "trailers");
  head.content_length = 5;
  const uint32_t id = j.client.request(head, false);
  CHECK(id == 1);
  j.client.write(id, "he");
  j.client.write(id, "llo");
  j.client.connection->finish(id);
  j.settle();
  const Record& asked = j.server.streams.at(id);
  CHECK(asked.head().method == "POST");
  CHECK(asked.head().scheme == "http");
  CHECK(asked.head().authority == "shop.example");
  CHECK(asked.head().path == "/a?b=c");
  CHECK(asked.head().version == Version::http_2);
  CHECK(asked.head().content_length == 5u);
  CHECK(text_of(asked.head().headers) == "x-one: 1\nte: trailers\n");
  CHECK(asked.body == "hello");
  CHECK(asked.end);
  CHECK_FALSE(asked.head_end);

  Head reply = answer(201);
  reply.headers.add("server", "x");
  REQUIRE(j.server.connection->respond(id, reply, false));
  j.server.write(id, std::string(100'000, 'y'));
  j.server.connection->finish(id);
  j.settle();
  const Record& answered = j.client.streams.at(id);
  CHECK(answered.head().status == 201);
  CHECK(field(answered.head(), "server") == "x");
  CHECK(answered.body == std::string(100'000, 'y'));
  CHECK(answered.whole());
  CHECK(answered.closed);
  CHECK(j.server.streams.at(id).closed);
  CHECK(j.client.connection->active_streams() == 0);
  CHECK(j.server.connection->active_streams() == 0);
}

TEST_CASE("trailers end an HTTP/2 message in both directions") {
  Joined j;
  const uint32_t id = j.client.request(post(), false);
  j.client.write(id, "body");
  auto there = std::make_unique<Headers>();
  there->add("X-Sum", "7");
  j.client.connection->finish(id, std::move(there));
  j.settle();
  CHECK(j.server.streams.at(id).trailers == "x-sum: 7\n");
  CHECK(j.server.streams.at(id).end);
  // Without a byte of body: gRPC's answer to a call that fails late.
  REQUIRE(j.server.connection->respond(id, answer(), false));
  j.settle();
  auto back = std::make_unique<Headers>();
  back->add("grpc-status", "5");
  j.server.connection->finish(id, std::move(back));
  j.settle();
  CHECK(j.client.streams.at(id).trailers == "grpc-status: 5\n");
  CHECK(j.client.streams.at(id).body.empty());
  CHECK(j.client.streams.at(id).whole());
}

TEST_CASE("trailers after a queued body wait for all of it") {
  Joined j;
  const uint32_t id = j.client.request(get());
  j.settle();
  REQUIRE(j.server.connection->respond(id, answer(), false));
  for (int i = 0; i < 200; ++i) j.server.write(id, std::string(1000, static_cast<char>('a' + i % 26)));
  auto trailers = std::make_unique<Headers>();
  trailers->add("grpc-status", "0");
  j.server.connection->finish(id, std::move(trailers));
  j.settle();
  CHECK(j.client.streams.at(id).body.size() == 200'000);
  CHECK(j.client.streams.at(id).trailers == "grpc-status: 0\n");
}

TEST_CASE("an answer of trailers alone is one head that ends") {
  Joined j;
  const uint32_t id = j.client.request(get());
  j.settle();
  Head head = answer();
  head.headers.add("grpc-status", "14");
  REQUIRE(j.server.connection->respond(id, head, true));
  j.settle();
  CHECK(j.client.streams.at(id).head_end);
  CHECK_FALSE(j.client.streams.at(id).end);
  CHECK(j.client.streams.at(id).closed);
}

TEST_CASE("informational answers come before the final one") {
  Joined j;
  Head head = post();
  head.headers.add("expect", "100-continue");
  const uint32_t id = j.client.request(head, false);
  j.settle();
  CHECK(j.server.streams.at(id).head().expect_continue);
  CHECK(field(j.server.streams.at(id).head(), "expect") == "100-continue");
  REQUIRE(j.server.connection->respond(id, answer(100), false));
  Head hints = answer(103);
  hints.headers.add("link", "</style.css>");
  REQUIRE(j.server.connection->respond(id, hints, false));
  j.settle();
  REQUIRE(j.client.streams.at(id).heads.size() == 2);
  CHECK(j.client.streams.at(id).heads[0].informational());
  CHECK(field(j.client.streams.at(id).heads[1], "link") == "</style.css>");
  REQUIRE(j.server.connection->respond(id, answer(204), true));
  j.settle();
  CHECK(j.client.streams.at(id).head().status == 204);
  CHECK_FALSE(j.server.connection->respond(id, answer(200), true));
}

TEST_CASE("an answer to HEAD tells the length of a body that does not come") {
  Joined j;
  Head head = get();
  head.method = "HEAD";
  const uint32_t id = j.client.request(head);
  j.settle();
  Head reply = answer();
  reply.content_length = 1234;
  SECTION("ended at once") { REQUIRE(j.server.connection->respond(id, reply, true)); }
  SECTION("with a body that must not be sent") {
    REQUIRE(j.server.connection->respond(id, reply, false));
    j.server.write(id, "never");
    j.server.connection->finish(id);
  }
  j.settle();
  CHECK(j.client.streams.at(id).head().content_length == 1234u);
  CHECK(j.client.streams.at(id).body.empty());
  CHECK(j.client.streams.at(id).whole());
}

TEST_CASE("304 keeps its length and has no body, 204 has neither") {
  Joined j;
  for (const uint16_t status : {uint16_t{304}, uint16_t{204}}) {
    const uint32_t id = j.client.request(get());
    j.settle();
    Head reply = answer(status);
    reply.content_length = 10;
    REQUIRE(j.server.connection->respond(id, reply, true));
    j.settle();
    CHECK(j.client.streams.at(id).head().content_length.has_value() == (status == 304));
    CHECK(j.client.streams.at(id).whole());
  }
}

TEST_CASE("CONNECT has an authority alone and becomes a tunnel") {
  Joined j;
  Head head;
  head.method = "CONNECT";
  head.authority = "db.example:5432";
  const uint32_t id = j.client.request(head, false);
  j.settle();
  const Head& got = j.server.streams.at(id).head();
  CHECK(got.method == "CONNECT");
  CHECK(got.authority == "db.example:5432");
  CHECK(got.path.empty());
  CHECK(got.upgrade.empty());
  Head reply = answer();
  reply.content_length = 3;  // not of a tunnel
  REQUIRE(j.server.connection->respond(id, reply, false));
  j.client.write(id, "ping");
  j.server.write(id, "pong-pong");
  j.settle();
  CHECK_FALSE(j.client.streams.at(id).head().content_length.has_value());
  CHECK(j.server.streams.at(id).body == "ping");
  CHECK(j.client.streams.at(id).body == "pong-pong");
}

TEST_CASE("the length of an answer that refuses CONNECT is not believed") {
  Joined j;
  Head head;
  head.method = "CONNECT";
  head.authority = "db.example:5432";
  const uint32_t id = j.client.request(head, false);
  j.settle();
  Head reply = answer(403);
  reply.content_length = 3;
  REQUIRE(j.server.connection->respond(id, reply, false));
  j.server.write(id, "denied");
  j.server.connection->finish(id);
  j.settle();
  CHECK_FALSE(j.client.streams.at(id).head().content_length.has_value());
  CHECK(j.client.streams.at(id).body == "denied");
  CHECK(j.client.streams.at(id).whole());
}

TEST_CASE("a body may be written and finished before its answer's head is given") {
  Joined j;
  const uint32_t id = j.client.request(get());
  j.settle();
  j.server.write(id, "body");
  j.server.connection->finish(id);
  REQUIRE(j.server.connection->respond(id, answer(), false));
  j.settle();
  CHECK(j.client.streams.at(id).body == "body");
  CHECK(j.client.streams.at(id).whole());
}

TEST_CASE("extended CONNECT carries an upgrade once the server has said that it takes it") {
  Joined j;
  REQUIRE(j.client.connection->takes_extended_connect());
  Head head = get("/chat");
  SECTION("of its own kind") {
    head.version = Version::http_2;
    head.headers.add("sec-websocket-key", "x");
  }
  SECTION("out of an HTTP/1.1 upgrade") { head.headers.add("Sec-WebSocket-Key", "x"); }
  head.upgrade = "websocket";
  head.headers.add("sec-websocket-version", "13");
  const uint32_t id = j.client.request(head, false);
  j.settle();
  const Head& got = j.server.streams.at(id).head();
  CHECK(got.method == "GET");  // as HTTP/1.1 would ask for it
  CHECK(got.is_extended_connect());
  CHECK(got.upgrade == "websocket");
  CHECK(got.path == "/chat");
  CHECK(text_of(got.headers) == "sec-websocket-version: 13\n");
  REQUIRE(j.server.connection->respond(id, answer(), false));
  j.server.write(id, "frames");
  j.settle();
  CHECK(j.client.streams.at(id).body == "frames");
}

TEST_CASE("extended CONNECT is refused before the server has said that it takes it") {
  End client(Role::client);
  Head head = get("/chat");
  head.upgrade = "websocket";
  const auto id = client.connection->request(head, false);
  REQUIRE_FALSE(id);
  CHECK(id.error().reason == Reason::upgrade_refused);
}

TEST_CASE("a head from HTTP/1 is lower-cased and loses what is of its connection") {
  Joined j;
  Head head = get();
  for (const auto& [name, value] :
       std::initializer_list<std::pair<const char*, const char*>>{{"X-Upper-Case", "Value"},
                                                                  {"Connection", "keep-alive, x"},
                                                                  {"Keep-Alive", "5"},
                                                                  {"Upgrade", "h2c"},
                                                                  {"Proxy-Connection", "keep-alive"},
                                                                  {"Transfer-Encoding", "chunked"},
                                                                  {"TE", "gzip"},
                                                                  {"Host", "other"},
                                                                  {"HTTP2-Settings", "AAMAAABk"},
                                                                  {"Content-Length", "77"}})
    head.headers.add(name, value);
  const uint32_t id = j.client.request(head);
  j.settle();
  CHECK(text_of(j.server.streams.at(id).head().headers) == "x-upper-case: Value\n");
  CHECK(j.server.streams.at(id).head().authority == "shop.example");
  CHECK_FALSE(j.server.streams.at(id).head().content_length.has_value());
}

TEST_CASE("a head that is not legal in HTTP/2 is refused and not sent") {
  Joined j;
  Head head = get();
  const auto breaks =
      GENERATE(as<std::string>{}, "crlf", "nul", "edge", "name", "pseudo", "path", "fragment", "utf-8",
               "star", "authority", "no authority", "user", "scheme", "method", "length");
  CAPTURE(breaks);
  if (breaks == "crlf") head.headers.add("x", "a\r\nb: c");
  if (breaks == "nul") head.headers.add("x", std::string_view("a\0b", 3));
  if (breaks == "edge") head.headers.add("x", " a");
  if (breaks == "name") head.headers.add("x y", "a");
  if (breaks == "pseudo") head.headers.add(":path", "/other");
  if (breaks == "path") head.path = "a";
  if (breaks == "fragment") head.path = "/a#b";
  if (breaks == "utf-8") head.path = "/\xc3\xa4";
  if (breaks == "star") head.path = "*";
  if (breaks == "authority") head.authority = "a b";
  if (breaks == "no authority") head.authority = "";
  if (breaks == "user") head.authority = "me@shop";
  if (breaks == "scheme") head.scheme = "ht tp";
  if (breaks == "method") head.method = "G ET";
  if (breaks == "length") head.content_length = 5;  // and no body
  const auto id = j.client.connection->request(head, true);
  REQUIRE_FALSE(id);
  CHECK(id.error().reason == Reason::bad_request);
  CHECK_FALSE(j.client.connection->wants_output());
  CHECK(j.client.request(get()) == 1);
}

TEST_CASE("an answer that is not legal in HTTP/2 is refused, and another can be given") {
  Joined j;
  const uint32_t id = j.client.request(get());
  j.settle();
  Head bad = answer();
  bad.headers.add("x", "a\nb");
  const Status refused = j.server.connection->respond(id, bad, true);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().reason == Reason::bad_response);
  CHECK_FALSE(j.server.connection->respond(id, answer(101), false));
  CHECK_FALSE(j.server.connection->respond(id, answer(99), true));
  Head wrong = answer();
  wrong.content_length = 4;
  CHECK_FALSE(j.server.connection->respond(id, wrong, true));
  REQUIRE(j.server.connection->respond(id, answer(502), true));
  j.settle();
  CHECK(j.client.streams.at(id).head().status == 502);
}

TEST_CASE("a body unlike the length that its head declared becomes a reset") {
  Joined j;
  Head head = post();
  head.content_length = 5;
  const uint32_t id = j.client.request(head, false);
  j.settle();
  SECTION("longer") { j.client.write(id, "123456"); }
  SECTION("shorter") {
    j.client.write(id, "1234");
    j.client.connection->finish(id);
  }
  j.settle();
  CHECK(j.client.streams.at(id).reset == Reason::bad_response);
  CHECK(j.server.streams.at(id).reset == Reason::stream_reset);
  CHECK(j.server.streams.at(id).code == kInternalError);
  CHECK_FALSE(j.server.streams.at(id).end);
}

TEST_CASE("trailers that are not legal become a reset") {
  Joined j;
  const uint32_t id = j.client.request(get());
  j.settle();
  REQUIRE(j.server.connection->respond(id, answer(), false));
  auto trailers = std::make_unique<Headers>();
  trailers->add(":status", "200");
  j.server.connection->finish(id, std::move(trailers));
  j.settle();
  CHECK(j.client.streams.at(id).code == kInternalError);
  CHECK_FALSE(j.client.streams.at(id).end);
}

TEST_CASE("output of any size carries the same HTTP/2 exchange") {
  const size_t max = GENERATE(size_t{1100}, size_t{2048}, size_t{20'000});
  Joined j;
  const uint32_t id = j.client.request(post(), false);
  j.client.write(id, std::string(50'000, 'x'));
  j.client.connection->finish(id);
  for (int i = 0; i < 1000 && !j.server.streams[id].end; ++i) {
    const auto out = j.client.output(max);
    CHECK(out.size() <= max);
    REQUIRE(j.server.feed(out));
    REQUIRE(j.client.feed(j.server.output()));
  }
  CHECK(j.server.streams.at(id).body == std::string(50'000, 'x'));
}

TEST_CASE("an owner finds its own pointer behind a stream's id") {
  Joined j;
  const uint32_t id = j.client.request(get());
  int mine = 0;
  j.client.connection->set_user(id, &mine);
  CHECK(j.client.connection->user(id) == &mine);
  j.client.connection->release(id);
  CHECK(j.client.connection->user(id) == nullptr);
  CHECK(j.client.connection->user(99) == nullptr);
}

}  // namespace weir::http::h2::test

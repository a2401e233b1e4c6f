// The server's side of an HTTP/1.1 connection: requests in order, and when another may follow.
#include "nodeproxy/http/h1_server.h"

#include "nodeproxy/base/limits.h"
#include "tests/unit/http/memory_stream.h"

namespace weir::http::test {
namespace {

using namespace std::chrono_literals;

constexpr const char* kGet = "GET /a HTTP/1.1\r\nHost: s\r\n\r\n";

struct Serving {
  Wire in, out;
  MemoryStream bytes{in, out};
  Loop loop;
  H1Server server{loop.driver, bytes};
  Watcher watcher;

  Serving() { loop.scope.spawn(server.ahead().run()); }
  ~Serving() { loop.stop(); }

  Result<Piece> next() { return loop.run(server.next()); }
  Status answer(uint16_t status, std::string_view body = {}) {
    Head head;
    head.status = status;
    head.content_length = body.size();
    return loop.run(server.write(piece(&head, body), io::kNever));
  }
  bool settle() { return loop.run(server.settle()); }
  // A request is read, and answered.
  void exchange() {
    in.say(kGet);
    REQUIRE(next());
    REQUIRE(answer(200));
  }
};

TEST_CASE("a connection is kept for the next request") {
  Serving test;
  test.in.say(kGet);
  const auto first = test.next();
  REQUIRE(first);
  CHECK(first->head->path == "/a");
  CHECK(first->end);
  REQUIRE(test.answer(200, "ok"));
  CHECK(test.out.take() == "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  CHECK(test.settle());
  test.in.say("GET /b HTTP/1.1\r\nHost: s\r\n\r\n");
  const auto second = test.next();
  REQUIRE(second);
  CHECK(second->head->path == "/b");
}

TEST_CASE("pipelined requests are read one by one") {
  Serving test;
  test.in.say(std::string(kGet) + "GET /b HTTP/1.1\r\nHost: s\r\n\r\n");
  REQUIRE(test.next());
  REQUIRE(test.answer(200));
  REQUIRE(test.settle());
  const auto second = test.next();
  REQUIRE(second);
  CHECK(second->head->path == "/b");
}

TEST_CASE("a request that says close is the last") {
  Serving test;
  test.in.say("GET /a HTTP/1.1\r\nHost: s\r\nConnection: close\r\n\r\n");
  REQUIRE(test.next());
  REQUIRE(test.answer(200));
  CHECK(test.out.bytes.find("Connection: close\r\n") != std::string::npos);
  CHECK(test.out.fin);  // with the answer: a client that read it must not be the first to close
  CHECK(!test.settle());
  CHECK(!test.next());
}

TEST_CASE("after an early answer the rest of a small body is passed over") {
  Serving test;
  test.in.say("POST /a HTTP/1.1\r\nHost: s\r\nContent-Length: 10\r\n\r\n0123");
  REQUIRE(test.next());
  REQUIRE(test.answer(404));
  const auto settled = test.loop.start(test.server.settle());
  test.loop.idle();
  CHECK(!settled->has_value());
  test.in.say("456789GET /b HTTP/1.1\r\nHost: s\r\n\r\n");
  test.loop.idle();
  REQUIRE(settled->has_value());
  CHECK(**settled);
  const auto next = test.next();
  REQUIRE(next);
  CHECK(next->head->path == "/b");
}

TEST_CASE("after an early answer a large body ends the connection, even if all of it is there") {
  Serving test;
  const std::string body(limits::http_discard_max_bytes + 32 * 1024, 'x');
  test.in.say("POST /a HTTP/1.1\r\nHost: s\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n");
  REQUIRE(test.next());
  REQUIRE(test.answer(404));
  test.in.say(body);
  CHECK(!test.settle());
}

TEST_CASE("after an early answer a body that does not come is not waited for long") {
  Serving test;
  test.in.say("POST /a HTTP/1.1\r\nHost: s\r\nContent-Length: 10\r\n\r\n");
  REQUIRE(test.next());
  REQUIRE(test.answer(404));
  const auto begun = test.loop.driver.now();
  CHECK(!test.settle());
  CHECK(test.loop.driver.now() - begun < limits::http_header_timeout + 1s);
}

TEST_CASE("an answer that is not whole leaves no room for another") {
  Serving test;
  test.in.say(kGet);
  REQUIRE(test.next());
  Head head;
  head.status = 200;
  head.content_length = 10;
  REQUIRE(test.loop.run(test.server.write(piece(&head, "0123", false), io::kNever)));
  CHECK(!test.settle());
}

TEST_CASE("between requests a client may wait as long as it likes, within a head it may not") {
  Serving test;
  test.exchange();
  REQUIRE(test.settle());
  const auto next = test.loop.start(test.server.next());
  test.loop.world.run_for(1h);
  CHECK(!next->has_value());
  test.in.say("GET /a HT");
  test.loop.world.run_for(limits::http_header_timeout - 1s);
  CHECK(!next->has_value());
  test.loop.world.run_for(2s);
  REQUIRE(next->has_value());
  REQUIRE(!**next);
  CHECK((**next).error().reason == Reason::header_timeout);
}

TEST_CASE("a client that leaves between requests has just left") {
  Serving test;
  test.exchange();
  REQUIRE(test.settle());
  test.in.finish();
  const auto next = test.next();
  REQUIRE(!next);
  CHECK(next.error().reason == Reason::client_closed);
}

TEST_CASE("what is no request says how it is to be answered, and nothing follows") {
  Serving test;
  test.in.say("GET /a HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n");
  const auto next = test.next();
  REQUIRE(!next);
  CHECK(next.error().reason == Reason::bad_request);
  CHECK(test.server.error_status() == 400);
  test.server.close_after_answer();
  REQUIRE(test.answer(400));
  CHECK(test.out.bytes.find("Connection: close\r\n") != std::string::npos);
  CHECK(!test.settle());
}

TEST_CASE("a drain between requests keeps the connection for one more, whose answer says close") {
  Serving test;
  test.exchange();
  REQUIRE(test.settle());
  test.out.take();
  test.server.drain();
  const auto next = test.loop.start(test.server.next());
  test.loop.idle();
  CHECK(!next->has_value());
  test.in.say(kGet);
  test.loop.idle();
  REQUIRE(next->has_value());
  REQUIRE(**next);
  REQUIRE(test.answer(200));
  CHECK(test.out.bytes.find("Connection: close\r\n") != std::string::npos);
  CHECK(!test.settle());
}

TEST_CASE("a drain within a request is said in its answer") {
  Serving test;
  test.in.say(kGet);
  REQUIRE(test.next());
  test.server.drain();
  REQUIRE(test.answer(200));
  CHECK(test.out.bytes.find("Connection: close\r\n") != std::string::npos);
  CHECK(!test.settle());
}

TEST_CASE("a client that ends its direction while it waits has gone") {
  Serving test;
  test.in.say(kGet);
  REQUIRE(test.next());
  test.server.watch(&test.watcher);
  test.in.finish();
  test.loop.idle();
  REQUIRE(test.watcher.told);
  CHECK(test.watcher.told->reason == Reason::client_closed);
  test.server.watch(nullptr);
}

TEST_CASE("a client that resets while it waits is told as a reset") {
  Serving test;
  test.in.say(kGet);
  REQUIRE(test.next());
  test.server.watch(&test.watcher);
  test.in.reset();
  test.loop.idle();
  REQUIRE(test.watcher.told);
  CHECK(test.watcher.told->reason == Reason::client_reset);
  test.server.watch(nullptr);
}

TEST_CASE("in a tunnel bytes pass as they are, and a FIN ends its own direction only") {
  Serving test;
  test.in.say("GET /a HTTP/1.1\r\nHost: s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
  REQUIRE(test.next());
  test.server.watch(&test.watcher);
  Head head;
  head.status = 101;
  head.upgrade = "websocket";
  REQUIRE(test.loop.run(test.server.write(piece(&head, {}, false), io::kNever)));
  test.out.take();
  test.in.say("GET is no request here");
  const auto there = test.loop.run(test.server.read(io::kNever));
  REQUIRE(there);
  CHECK(text_of(there->body) == "GET is no request here");
  test.in.finish();
  const auto end = test.loop.run(test.server.read(io::kNever));
  REQUIRE(end);
  CHECK(end->end);
  CHECK(!test.watcher.told);
  REQUIRE(test.loop.run(test.server.write(piece(nullptr, "still talking", false), io::kNever)));
  CHECK(test.out.take() == "still talking");
  CHECK(!test.out.fin);
  REQUIRE(test.loop.run(test.server.write(piece(nullptr), io::kNever)));
  CHECK(test.out.fin);
  CHECK(!test.settle());
  test.server.watch(nullptr);
}

io::Task<bool> linger(H1Server& server) {
  co_await server.linger();
  co_return true;
}

TEST_CASE("at the end a FIN is sent, and what still comes is passed over for a moment") {
  Serving test;
  test.exchange();
  const auto begun = test.loop.driver.now();
  const auto over = test.loop.start(linger(test.server));
  test.in.say("more");
  test.loop.idle();
  CHECK(test.out.fin);
  CHECK(!over->has_value());
  REQUIRE(test.loop.world.run_until([&] { return over->has_value(); }));
  CHECK(test.loop.driver.now() - begun < 2s);
  CHECK(!test.out.abandoned);
}

}  // namespace
}  // namespace weir::http::test

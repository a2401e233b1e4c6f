// The client's side of an HTTP/1.1 connection: what leaves it fit for another exchange, and what does not.
#include "nodeproxy/http/h1_client.h"

#include "tests/unit/http/memory_stream.h"

namespace weir::http::test {
namespace {

using namespace std::chrono_literals;

constexpr const char* kOk = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

struct Asking {
  Wire in, out;
  Pool pool;
  Loop loop;
  H1Client client{loop.driver, std::make_unique<MemoryStream>(in, out), pool};
  Head head;

  Asking() {
    head.method = "GET";
    head.scheme = "http";
    head.authority = "s";
    head.path = "/a";
    client.start();
  }
  ~Asking() {
    client.end(Reason::cancelled);
    loop.world.run_until([&] { return client.empty(); });
    loop.stop();
  }

  MessageStream& ask() {
    REQUIRE(client.can_begin());
    MessageStream& stream = client.begin();
    REQUIRE(loop.run(stream.write(piece(&head), io::kNever)));
    return stream;
  }
  Result<Piece> read(MessageStream& stream) { return loop.run(stream.read(io::kNever)); }
  void exchange(const std::string& answer = kOk) {
    MessageStream& stream = ask();
    in.say(answer);
    const auto got = read(stream);
    REQUIRE(got);
    REQUIRE(got->end);
    client.give_back(stream);
    loop.idle();
  }
};

TEST_CASE("a whole answer leaves the connection to the next exchange") {
  Asking test;
  MessageStream& stream = test.ask();
  CHECK(test.out.take() == "GET /a HTTP/1.1\r\nHost: s\r\n\r\n");
  CHECK(!test.client.can_begin());
  test.in.say(kOk);
  const auto got = test.read(stream);
  REQUIRE(got);
  CHECK(got->head->status == 200);
  CHECK(text_of(got->body) == "ok");
  CHECK(got->end);
  test.client.give_back(stream);
  CHECK(test.pool.freed == 1);
  CHECK(test.client.can_begin());
  test.exchange();
  CHECK(test.client.exchanges_begun() == 2);
  CHECK(test.pool.ended == 0);
}

TEST_CASE("an answer that says close ends the connection in order") {
  Asking test;
  test.exchange("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok");
  CHECK(!test.client.can_begin());
  CHECK(test.out.closed);
  CHECK(!test.out.abandoned);
  CHECK(test.pool.ended == 1);
}

TEST_CASE("bytes behind an answer are nobody's, and end the connection") {
  Asking test;
  test.exchange(std::string(kOk) + "HTTP/1.1 200 OK\r\n");
  CHECK(!test.client.can_begin());
  CHECK(test.pool.ended == 1);
}

TEST_CASE("bytes that come between exchanges make the connection unfit") {
  Asking test;
  test.exchange();
  REQUIRE(test.client.can_begin());
  test.in.say("HTTP/1.1 408 Request Timeout\r\n\r\n");
  test.loop.idle();
  CHECK(!test.client.can_begin());
}

TEST_CASE("a server that closes between exchanges ends the connection at once, in order") {
  Asking test;
  test.exchange();
  test.in.finish();
  test.loop.idle();
  CHECK(!test.client.can_begin());
  CHECK(test.out.fin);
  CHECK(test.out.closed);
  CHECK(test.pool.ended == 1);
}

TEST_CASE("an exchange that is given back half way is abandoned with its reason") {
  Asking test;
  MessageStream& stream = test.ask();
  test.in.say("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
  REQUIRE(test.read(stream));
  test.client.give_back(stream);
  test.loop.idle();
  CHECK(test.out.abandoned == Reason::cancelled);
  CHECK(test.pool.ended == 1);
}

TEST_CASE("a server that closes instead of answering has reset the exchange") {
  Asking test;
  MessageStream& stream = test.ask();
  test.in.finish();
  const auto got = test.read(stream);
  REQUIRE(!got);
  CHECK(got.error().reason == Reason::server_reset);
  CHECK(got.error().source == Source::upstream);
  test.client.give_back(stream);
}

TEST_CASE("who gives an exchange up wakes its reader with the reason") {
  Asking test;
  MessageStream& stream = test.ask();
  const auto reading = test.loop.start(stream.read(io::kNever));
  test.loop.idle();
  CHECK(!reading->has_value());
  give_up(stream, Reason::client_reset);
  test.loop.idle();
  REQUIRE(reading->has_value());
  REQUIRE(!**reading);
  CHECK((**reading).error().reason == Reason::client_reset);
  CHECK(test.out.abandoned == Reason::client_reset);
  test.client.give_back(stream);
}

TEST_CASE("informational answers come as pieces of their own, before the final one") {
  Asking test;
  MessageStream& stream = test.ask();
  test.in.say(std::string("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n") + kOk);
  const auto hints = test.read(stream);
  REQUIRE(hints);
  CHECK(hints->head->status == 103);
  CHECK(!hints->end);
  const auto final = test.read(stream);
  REQUIRE(final);
  CHECK(final->head->status == 200);
  CHECK(final->end);
  test.client.give_back(stream);
  CHECK(test.client.can_begin());
}

TEST_CASE("after 101 both directions are bytes until their own end, and the connection is no use to others") {
  Asking test;
  test.head.upgrade = "websocket";
  MessageStream& stream = test.ask();
  test.in.say("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nraw");
  const auto head = test.read(stream);
  REQUIRE(head);
  CHECK(head->head->status == 101);
  const auto raw = test.read(stream);
  REQUIRE(raw);
  CHECK(text_of(raw->body) == "raw");
  test.out.take();
  REQUIRE(test.loop.run(stream.write(piece(nullptr, "bytes", false), io::kNever)));
  CHECK(test.out.take() == "bytes");
  REQUIRE(test.loop.run(stream.write(piece(nullptr), io::kNever)));
  CHECK(test.out.fin);
  test.in.finish();
  const auto end = test.read(stream);
  REQUIRE(end);
  CHECK(end->end);
  test.client.give_back(stream);
  test.loop.idle();
  CHECK(test.pool.ended == 1);
}

TEST_CASE("an idle connection that is ended says FIN and waits for the server's, for a moment") {
  Asking test;
  test.exchange();
  test.client.end(Reason::none);
  test.loop.idle();
  CHECK(test.out.fin);
  CHECK(test.pool.ended == 0);
  SECTION("the server closes too") {
    test.in.finish();
    test.loop.idle();
    CHECK(test.pool.ended == 1);
    CHECK(!test.out.abandoned);
  }
  SECTION("the server does not") {
    test.loop.world.run_for(3s);
    CHECK(test.pool.ended == 1);
    CHECK(test.out.abandoned);
  }
}

TEST_CASE("a connection that is retired ends behind its exchange") {
  Asking test;
  MessageStream& stream = test.ask();
  test.client.retire();
  CHECK(!test.out.fin);
  test.in.say(kOk);
  REQUIRE(test.read(stream));
  test.client.give_back(stream);
  CHECK(!test.client.can_begin());
  CHECK(test.out.fin);
}

}  // namespace
}  // namespace weir::http::test

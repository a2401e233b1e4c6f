// H2Client and H2Server joined back to back: exchanges as streams, over h2_wire and h2_message.
#include "tests/unit/http/h2_pair.h"

namespace weir::http::test {
namespace {

using namespace std::chrono_literals;

TEST_CASE("a request and its answer are one stream each way, with bodies and trailers") {
  Pair test;
  Head head = get("/cart");
  head.method = "POST";
  MessageStream& stream = test.ask(head, "question", false);
  REQUIRE(test.requests.all.size() == 1);
  auto& request = test.requests.all[0];
  CHECK(request.method == "POST");
  CHECK(request.path == "/cart");
  CHECK(!request.end);
  Piece last = piece(nullptr);
  last.trailers = std::make_unique<Headers>();
  last.trailers->add("x-sum", "7");
  REQUIRE(test.loop.run(stream.write(std::move(last), io::kNever)));
  const auto asked = test.read(*request.stream);
  CHECK(request.body + asked.text == "question");
  CHECK(asked.trailers == "x-sum=7");
  test.answer(*request.stream, 201, "answer");
  const auto answered = test.read(stream);
  CHECK(answered.status == 201);
  CHECK(answered.text == "answer");
  CHECK(!answered.error);
  test.client.give_back(stream);
  test.server.release(*request.stream);
  CHECK(test.client.exchanges() == 0);
}

TEST_CASE("exchanges run beside each other and are answered in any order") {
  Pair test;
  MessageStream& one = test.ask(get("/1"));
  MessageStream& two = test.ask(get("/2"));
  REQUIRE(test.requests.all.size() == 2);
  test.answer(*test.requests.all[1].stream, 200, "second");
  CHECK(test.read(two).text == "second");
  test.answer(*test.requests.all[0].stream, 200, "first");
  CHECK(test.read(one).text == "first");
  test.client.give_back(one);
  test.client.give_back(two);
}

TEST_CASE("a connection takes as many exchanges as its peer allows, and one more when one has ended") {
  Pair test;
  std::vector<MessageStream*> streams;
  while (test.client.can_begin() && streams.size() < 1000) streams.push_back(&test.ask());
  CHECK(streams.size() == limits::h2_streams_max);
  test.answer(*test.requests.all[0].stream);
  CHECK(test.read(*streams[0]).status == 200);
  test.client.give_back(*streams[0]);
  test.server.release(*test.requests.all[0].stream);
  test.loop.idle();
  CHECK(test.client.can_begin());
  for (size_t i = 1; i < streams.size(); ++i) test.client.give_back(*streams[i]);
}

TEST_CASE("exchanges that are begun and not yet sent count") {
  Pair test;
  std::vector<MessageStream*> streams;
  while (test.client.can_begin() && streams.size() < 1000) streams.push_back(&test.client.begin());
  CHECK(streams.size() == limits::h2_streams_max);
  for (MessageStream* stream : streams) test.client.give_back(*stream);
}

TEST_CASE("a client's reset is told to whoever serves it, and its reads and writes end") {
  Pair test;
  MessageStream& stream = test.ask();
  auto& request = test.requests.all[0];
  give_up(stream, Reason::cancelled);
  test.loop.idle();
  REQUIRE(request.watcher->told);
  CHECK(request.watcher->told->reason == Reason::stream_reset);
  CHECK(request.watcher->told->source == Source::downstream);
  CHECK(test.read(*request.stream).error);
  test.client.give_back(stream);
}

TEST_CASE("a server's reset ends the reader with it, after what had come") {
  Pair test;
  MessageStream& stream = test.ask();
  test.answer(*test.requests.all[0].stream, 200, "half", false);
  give_up(*test.requests.all[0].stream, Reason::server_reset);
  test.loop.idle();
  const auto got = test.read(stream);
  REQUIRE(got.error);
  CHECK(got.error->reason == Reason::stream_reset);
  CHECK(got.error->source == Source::upstream);
  CHECK(!test.client.unprocessed(stream));
  test.client.give_back(stream);
}

TEST_CASE("a whole answer before the request's end stops the upload and is still read") {
  Pair test;
  Head head = get();
  head.method = "POST";
  MessageStream& stream = test.ask(head, "begin", false);
  MessageStream* served = test.requests.all[0].stream;
  test.answer(*served, 413, "too much");
  test.server.release(*served);
  test.loop.idle();
  const auto got = test.read(stream);
  CHECK(!got.error);
  CHECK(got.status == 413);
  CHECK(got.text == "too much");
  CHECK(test.loop.run(stream.write(piece(nullptr, "more", false), io::kNever)));
  test.client.give_back(stream);
}

TEST_CASE("a reader that does not read stalls its writer, bounded, and no other stream") {
  Pair test;
  MessageStream& slow = test.ask(get("/slow"));
  MessageStream* serving = test.requests.all[0].stream;
  test.answer(*serving, 200, "begin", false);
  const std::string block(64 * 1024, 'x');
  size_t written_blocks = 0;
  std::shared_ptr<std::optional<Status>> writing;
  for (; written_blocks < 1000; ++written_blocks) {
    writing = test.loop.start(serving->write(piece(nullptr, block, false), io::kNever));
    test.loop.idle();
    if (!writing->has_value()) break;
  }
  CHECK(written_blocks * block.size() <= limits::h2_stream_window_max_bytes + 256 * 1024);
  REQUIRE(!writing->has_value());
  MessageStream& quick = test.ask(get("/quick"));
  test.answer(*test.requests.all[1].stream, 200, "at once");
  CHECK(test.read(quick).text == "at once");
  size_t got_bytes = 0;
  while (!writing->has_value()) {
    const auto got = test.loop.run(slow.read(test.loop.driver.now() + 1min));
    REQUIRE(got);
    got_bytes += got->body.size();
    test.loop.idle();
  }
  CHECK(got_bytes > 0);
  CHECK(**writing);
  test.client.give_back(slow);
  test.client.give_back(quick);
}

TEST_CASE("a drained server takes what is on its way, then nothing, and ends behind the last exchange") {
  Pair test;
  MessageStream& under_way = test.ask(get("/under-way"));
  test.server.drain();
  test.loop.idle();
  CHECK(!test.client.can_begin());
  CHECK(test.server.connection()
            .goaway_sent());  // the second, behind a round trip: nothing above the last stream
  CHECK(test.pool.ended == 0);
  CHECK(!test.server.over());
  test.answer(*test.requests.all[0].stream, 200, "in order");
  const auto got = test.read(under_way);
  CHECK(!got.error);
  CHECK(got.text == "in order");
  test.server.release(*test.requests.all[0].stream);
  test.client.give_back(under_way);
  test.loop.idle();
  CHECK(test.server.over());
}

TEST_CASE("a request above the limits is told apart, to be answered 431, and the connection goes on") {
  Pair test;
  Head large = get("/large");
  for (int i = 0; i < 12; ++i) large.headers.add("x-" + std::to_string(i), std::string(8 * 1024, 'v'));
  MessageStream& stream = test.ask(large);
  REQUIRE(test.requests.all.size() == 1);
  CHECK(test.requests.all[0].too_large);
  CHECK(test.requests.all[0].path == "/large");
  test.answer(*test.requests.all[0].stream, 431);
  CHECK(test.read(stream).status == 431);
  test.client.give_back(stream);
  test.server.release(*test.requests.all[0].stream);
  test.loop.idle();
  CHECK(test.client.can_begin());
}

TEST_CASE("a peer that says nothing while streams wait is pinged, and lost when it does not answer") {
  Pair test(false);
  MessageStream& stream = test.ask();
  const size_t before = test.up.bytes.size();
  test.loop.world.run_for(limits::h2_ping + limits::h2_ping_timeout / 2 + 1s);
  CHECK(test.up.bytes.size() == before + 17);  // one PING
  const auto got = test.read(stream);
  REQUIRE(got.error);
  CHECK(got.error->reason == Reason::peer_lost);
  test.client.give_back(stream);
}

TEST_CASE("a peer that answers pings is kept, however long a stream waits") {
  Pair test;
  MessageStream& stream = test.ask();
  test.loop.world.run_for(1h);
  test.answer(*test.requests.all[0].stream, 200, "at last");
  CHECK(test.read(stream).text == "at last");
  test.client.give_back(stream);
}

TEST_CASE("the end of the bytes ends every stream") {
  Pair test;
  MessageStream& stream = test.ask();
  test.down.finish();
  const auto got = test.read(stream);
  REQUIRE(got.error);
  CHECK(got.error->reason == Reason::server_reset);
  CHECK(!test.client.can_begin());
  test.client.give_back(stream);
  test.loop.idle();
  CHECK(test.pool.ended == 1);
}

TEST_CASE("an idle connection that is ended says so and closes in order") {
  Pair test;
  MessageStream& stream = test.ask();
  test.answer(*test.requests.all[0].stream);
  CHECK(test.read(stream).status == 200);
  test.client.give_back(stream);
  test.server.release(*test.requests.all[0].stream);
  test.loop.idle();
  test.client.end(Reason::none);
  test.loop.idle();
  CHECK(test.up.closed);
  CHECK(test.up.fin);
  CHECK(test.server.over());
  CHECK(test.pool.ended == 0);  // until the server's FIN
  test.down.finish();
  test.loop.idle();
  CHECK(test.pool.ended == 1);
  CHECK(!test.up.abandoned);
}

TEST_CASE(
    "a server that broke a rule may still speak while it has not read why it is left, but not for long") {
  Pair test(false);
  test.down.say(std::string("\0\0\0\4\0\0\0\0\0", 9));            // SETTINGS
  test.down.say(std::string("\0\0\x8\6\0\0\0\0\3broken..", 17));  // PING on a stream: a connection error
  test.loop.idle();
  CHECK(!test.client.can_begin());
  CHECK(test.up.bytes.find(std::string("\7\0\0\0\0\0", 6)) != std::string::npos);  // GOAWAY
  CHECK(test.up.fin);
  test.down.say("more of the same");
  test.loop.idle();
  CHECK(test.down.bytes.empty());
  CHECK(!test.up.abandoned);
  CHECK(test.pool.ended == 0);
  test.loop.world.run_for(limits::http_linger + 1ms);
  CHECK(test.up.abandoned);
  CHECK(test.pool.ended == 1);
}

TEST_CASE("DATA after the end of an answer ends the whole connection: its server has lost count") {
  Pair test;
  MessageStream& stream = test.ask();
  test.answer(*test.requests.all[0].stream);
  CHECK(test.read(stream).status == 200);
  test.client.give_back(stream);
  test.down.say(std::string("\0\0\4\0\1\0\0\0\1more", 13));
  test.loop.idle();
  CHECK(!test.client.can_begin());
  CHECK(test.server.over());
}

TEST_CASE("a request that HTTP/2 cannot say fails before anything of it is sent") {
  Pair test;
  Head bad = get("no path at all");
  MessageStream& stream = test.client.begin();
  const Status written = test.loop.run(stream.write(piece(&bad), io::kNever));
  CHECK(!written);
  CHECK(test.client.unprocessed(stream));
  test.client.give_back(stream);
  CHECK(test.client.can_begin());
}

}  // namespace
}  // namespace weir::http::test

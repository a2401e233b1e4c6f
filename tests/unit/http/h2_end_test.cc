// How streams and HTTP/2 connections end: resets and what may be retried, concurrency, GOAWAY, errors of the connection.
#include "tests/unit/http/h2_raw_peer.h"

namespace weir::http::h2::test {

TEST_CASE("a client's reset reaches the server with its code, and the client hears no reset") {
  Joined j;
  const uint32_t id = j.client.request(post(), false);
  j.client.write(id, "half");
  j.settle();
  j.client.connection->reset(id, kCancel);
  j.settle();
  const Record& told = j.server.streams.at(id);
  CHECK(told.reset == Reason::stream_reset);
  CHECK(told.code == kCancel);
  CHECK_FALSE(told.unprocessed);
  CHECK(told.closed);
  CHECK(j.client.streams.at(id).resets == 0);
  CHECK(j.client.streams.at(id).closed);
  CHECK_FALSE(j.server.connection->respond(id, answer(), true));
}

TEST_CASE("an early answer and NO_ERROR stop the upload and keep the answer") {
  Joined j;
  const uint32_t id = j.client.request(post(), false);
  j.settle();
  REQUIRE(j.server.connection->respond(id, answer(413), false));
  j.server.write(id, "too much");
  j.server.connection->finish(id);
  SECTION("by a reset") { j.server.connection->reset(id, kNoError); }
  SECTION("by giving the stream back") { j.server.connection->release(id); }
  SECTION("by a reset once it is out") {
    REQUIRE(j.client.feed(j.server.output()));
    j.server.connection->reset(id, kNoError);
  }
  j.settle();
  const Record& told = j.client.streams.at(id);
  CHECK(told.head().status == 413);
  CHECK(told.body == "too much");
  CHECK(told.end);
  CHECK(told.resets == 1);
  CHECK(told.code == kNoError);
  CHECK_FALSE(told.unprocessed);
  CHECK(j.server.connection->active_streams() == 0);
}

TEST_CASE("REFUSED_STREAM may be retried, and not once an answer has begun") {
  Raw raw(Role::client);
  const uint32_t id = raw.end.request(get());
  const uint32_t begun = raw.end.request(get());
  raw.listen();
  REQUIRE(raw.say(rst(id, kRefusedStream)));
  CHECK(raw.end.streams.at(id).reset == Reason::stream_refused);
  CHECK(raw.end.streams.at(id).unprocessed);
  REQUIRE(raw.say(raw.hpack.headers(begun, {{":status", "200"}}, false) + rst(begun, kRefusedStream)));
  CHECK(raw.end.streams.at(begun).reset == Reason::stream_reset);
  CHECK_FALSE(raw.end.streams.at(begun).unprocessed);
}

TEST_CASE("GOAWAY refuses what is above its last stream and lets the rest finish") {
  Raw raw(Role::client);
  const uint32_t taken = raw.end.request(get()), refused = raw.end.request(get());
  raw.listen();
  const uint32_t waiting = raw.end.request(get());  // not yet on the wire
  REQUIRE(raw.say(frame(FrameType::goaway, 0, 0, number(taken) + number(kNoError))));
  REQUIRE(raw.end.goaways.size() == 1);
  CHECK(raw.end.goaways[0] == std::pair<uint32_t, uint32_t>(taken, kNoError));
  for (const uint32_t id : {refused, waiting}) {
    CHECK(raw.end.streams.at(id).reset == Reason::stream_refused);
    CHECK(raw.end.streams.at(id).unprocessed);
    CHECK(raw.end.streams.at(id).closed);
  }
  CHECK(raw.end.streams.count(taken) == 0);
  CHECK_FALSE(raw.end.connection->can_open());
  const auto more = raw.end.connection->request(get(), true);
  REQUIRE_FALSE(more);
  CHECK(more.error().reason == Reason::draining);
  CHECK_FALSE(raw.end.connection->finished());
  REQUIRE(raw.say(raw.hpack.headers(taken, {{":status", "200"}})));
  CHECK(raw.end.streams.at(taken).whole());
  CHECK(raw.end.connection->finished());
}

TEST_CASE("a server drains in two steps and loses no request in between") {
  Joined j;
  const uint32_t before = j.client.request(get());
  j.settle();
  j.server.connection->shutdown_notice();
  const uint32_t crossing = j.client.request(get());
  REQUIRE(j.client.feed(j.server.output()));
  REQUIRE(j.client.goaways.size() == 1);
  CHECK(j.client.goaways[0].first == 0x7fffffff);
  CHECK_FALSE(j.client.connection->can_open());
  j.settle();
  // nghttp2's own client gives up what had not left when GOAWAY came; it may be retried, so nothing is lost either.
  CHECK(j.client.streams.at(crossing).unprocessed);
  j.server.connection->goaway();
  j.settle();
  CHECK(j.client.goaways.back().first == before);
  CHECK_FALSE(j.server.connection->finished());
  REQUIRE(j.server.connection->respond(before, answer(), true));
  j.settle();
  CHECK(j.client.streams.at(before).whole());
  CHECK(j.server.connection->finished());
  CHECK(j.client.connection->finished());
}

TEST_CASE("requests that cross the shutdown notice are served, those after the last GOAWAY are not begun") {
  Raw raw(Role::server);
  raw.end.connection->shutdown_notice();
  raw.listen();
  CHECK(raw.last(FrameType::goaway)->payload == number(0x7fffffff) + number(kNoError));
  REQUIRE(raw.say(raw.hpack.headers(1, get_fields())));
  CHECK(raw.end.streams.count(1) == 1);
  raw.end.connection->goaway();
  raw.listen();
  CHECK(raw.last(FrameType::goaway)->payload == number(1) + number(kNoError));
  REQUIRE(raw.say(raw.hpack.headers(3, get_fields())));
  CHECK(raw.end.streams.count(3) == 0);
  REQUIRE(raw.end.connection->respond(1, answer(), true));
  raw.listen();
  CHECK(raw.end.connection->finished());
}

TEST_CASE("a reset stream counts against concurrency until its owner has released it") {
  Settings settings;
  settings.streams_max = 2;
  Raw raw(Role::server, settings);
  REQUIRE(raw.say(raw.hpack.headers(1, get_fields(), false) + rst(1, kCancel)));
  REQUIRE(raw.say(raw.hpack.headers(3, get_fields(), false) + rst(3, kCancel)));
  REQUIRE(raw.say(raw.hpack.headers(5, get_fields())));
  CHECK(raw.reset_code(5) == kRefusedStream);
  CHECK(raw.end.streams.count(5) == 0);
  CHECK(raw.end.connection->counters().refused_streams == 1);
  raw.end.connection->release(1);
  REQUIRE(raw.say(raw.hpack.headers(7, get_fields({{"x", "1"}}))));
  CHECK(text_of(raw.end.streams.at(7).head().headers) == "x: 1\n");
  // One that ended in order does not count, released or not.
  REQUIRE(raw.end.connection->respond(7, answer(), true));
  raw.listen();
  REQUIRE(raw.say(raw.hpack.headers(9, get_fields())));
  CHECK(raw.end.streams.count(9) == 1);
}

TEST_CASE("a client opens no more streams than the peer allows, which may change under way") {
  Raw raw(Role::client);
  REQUIRE(raw.say(frame(FrameType::settings, 0, 0, setting(3, 2))));
  CHECK(raw.end.settings == 2);
  const uint32_t first = raw.end.request(get());
  raw.end.request(get());
  CHECK_FALSE(raw.end.connection->can_open());
  const auto third = raw.end.connection->request(get(), true);
  REQUIRE_FALSE(third);
  CHECK(third.error().reason == Reason::overloaded);
  raw.listen();
  REQUIRE(raw.say(raw.hpack.headers(first, {{":status", "200"}})));
  CHECK(raw.end.connection->can_open());
  REQUIRE(raw.say(frame(FrameType::settings, 0, 0, setting(3, 0))));
  CHECK_FALSE(raw.end.connection->can_open());
  REQUIRE(raw.say(frame(FrameType::settings, 0, 0, setting(3, 1'000))));
  CHECK(raw.end.connection->can_open());
  for (int i = 0; i < 99; ++i) raw.end.request(get());
  CHECK(raw.end.connection->active_streams() == limits::h2_streams_max);
  CHECK_FALSE(raw.end.connection->can_open());  // our own most
}

TEST_CASE("a client whose ids are used up opens no more") {
  Settings settings;
  settings.first_stream = 0x7ffffffd;
  Raw raw(Role::client, settings);
  CHECK(raw.end.request(get()) == 0x7ffffffd);
  CHECK(raw.end.request(get()) == 0x7fffffff);
  CHECK_FALSE(raw.end.connection->can_open());
  const auto more = raw.end.connection->request(get(), true);
  REQUIRE_FALSE(more);
  CHECK(more.error().reason == Reason::draining);
  raw.listen();
  REQUIRE(raw.say(raw.hpack.headers(0x7fffffff, {{":status", "200"}})));
  CHECK(raw.end.streams.at(0x7fffffff).whole());
}

TEST_CASE("a connection that is gone resets every stream, and only what never left may be retried") {
  Raw raw(Role::client);
  const uint32_t sent = raw.end.request(get());
  raw.listen();
  const uint32_t waiting = raw.end.request(post(), false);
  raw.end.write(waiting, "x");
  raw.end.auto_release = true;
  raw.end.connection->fail(Error{Source::upstream, Reason::server_reset, 0, {}});
  CHECK(raw.end.streams.at(sent).reset == Reason::server_reset);
  CHECK_FALSE(raw.end.streams.at(sent).unprocessed);
  CHECK(raw.end.streams.at(waiting).unprocessed);
  CHECK(raw.end.streams.at(waiting).closed);
  CHECK_FALSE(raw.end.connection->wants_output());
  CHECK(raw.end.output().empty());
  CHECK(raw.end.connection->finished());
  CHECK_FALSE(raw.say(frame(FrameType::ping, 0, 0, "12345678")));
}

TEST_CASE("terminating tells the peer why and ends every stream") {
  Joined j;
  const uint32_t id = j.client.request(post(), false);
  j.settle();
  j.server.connection->terminate(kInternalError, Reason::draining);
  CHECK(j.server.streams.at(id).reset == Reason::draining);
  CHECK(j.server.connection->ended()->reason == Reason::draining);
  j.settle();
  REQUIRE(j.client.goaways.size() == 1);
  CHECK(j.client.goaways[0] == std::pair<uint32_t, uint32_t>(id, kInternalError));
  CHECK(j.server.connection->finished());
}

TEST_CASE("frames for a stream that its peer had ended are an error, those for one that we reset are not") {
  Raw raw(Role::server);
  REQUIRE(raw.say(raw.hpack.headers(1, get_fields(), false)));
  raw.end.connection->reset(1, kCancel);
  raw.listen();
  REQUIRE(raw.say(data(1, "under way") + raw.hpack.headers(1, {{"x", "1"}})));
  CHECK(raw.end.streams.at(1).body.empty());
  SECTION("DATA after the end") {
    REQUIRE(raw.say(raw.hpack.headers(3, get_fields())));
    REQUIRE(raw.end.connection->respond(3, answer(), true));
    raw.listen();
    REQUIRE(raw.say(data(3, "x")));
    CHECK(raw.reset_code(3) == kStreamClosed);
    REQUIRE(raw.say(data(3, "x")));  // told once
    CHECK(raw.count(FrameType::rst_stream) == 2);
  }
  SECTION("HEADERS after its own reset") {
    REQUIRE(raw.say(raw.hpack.headers(3, get_fields(), false) + rst(3, kCancel)));
    CHECK_FALSE(raw.say(raw.hpack.headers(3, get_fields())));
    CHECK(raw.goaway_code() == kStreamClosed);
  }
  SECTION("HEADERS of an id that was left out") {
    REQUIRE(raw.say(raw.hpack.headers(5, get_fields())));
    CHECK_FALSE(raw.say(raw.hpack.headers(3, get_fields())));
    CHECK(raw.goaway_code() == kProtocolError);
  }
}

TEST_CASE("an error of the connection ends it with GOAWAY at the frame that is to blame") {
  const auto [name, wire, code] = GENERATE(table<std::string, std::string, uint32_t>({
      {"DATA on stream 0", data(0, "x"), 1u},
      {"DATA on an idle stream", data(1, "x"), 1u},
      {"HEADERS on an even stream", frame(FrameType::headers, kEndHeaders | kEndStream, 2, ""), 1u},
      {"a frame above 16 KiB", frame(FrameType::data, 0, 1, std::string(16'385, 'x')), 6u},
      {"CONTINUATION without HEADERS", frame(FrameType::continuation, kEndHeaders, 1, ""), 1u},
      {"PUSH_PROMISE from a client", frame(FrameType::push_promise, kEndHeaders, 1, number(2)), 1u},
      {"PRIORITY on stream 0", frame(FrameType::priority, 0, 0, std::string(5, '\0')), 1u},
      {"PRIORITY of four bytes", frame(FrameType::priority, 0, 1, std::string(4, '\0')), 6u},
      {"PING of seven bytes", frame(FrameType::ping, 0, 0, "1234567"), 6u},
      {"PING on a stream", frame(FrameType::ping, 0, 1, "12345678"), 1u},
      {"SETTINGS of five bytes", frame(FrameType::settings, 0, 0, "12345"), 6u},
      {"SETTINGS with a wrong value", frame(FrameType::settings, 0, 0, setting(2, 2)), 1u},
      {"SETTINGS ACK that was not due", frame(FrameType::settings, kFlagAck, 0), 1u},
      {"SETTINGS of 33 entries",
       frame(FrameType::settings, 0, 0,
             [] {
               std::string all;
               for (uint16_t i = 0; i < 33; ++i) all += setting(static_cast<uint16_t>(100 + i), 1);
               return all;
             }()),
       11u},
      {"RST_STREAM on an idle stream", rst(1, 8), 1u},
      {"WINDOW_UPDATE of 0", window_update(0, 0), 1u},
      {"WINDOW_UPDATE beyond 2^31", window_update(0, 0x7fffffff), 3u},
      {"HPACK that cannot be read",
       frame(FrameType::headers, kEndHeaders | kEndStream, 1, "\xff\xff\xff\xff\xff"), 9u},
  }));
  INFO(name);
  Raw raw(Role::server);
  CHECK_FALSE(raw.say(wire + frame(FrameType::ping, 0, 0, "12345678")));
  CHECK(raw.goaway_code() == code);
  CHECK(raw.count(FrameType::ping) == 0);  // nothing after it is answered
  REQUIRE(raw.end.connection->ended().has_value());
  CHECK(raw.end.connection->ended()->reason == (code == 11 ? Reason::flood : Reason::bad_request));
  CHECK(raw.end.connection->ended()->source == Source::downstream);
  CHECK(raw.end.connection->broken_rule() != nullptr);
  CHECK(raw.end.connection->finished());
}

TEST_CASE("a client refuses PUSH_PROMISE") {
  Raw raw(Role::client);
  const uint32_t id = raw.end.request(get());
  raw.listen();
  CHECK_FALSE(
      raw.say(frame(FrameType::push_promise, kEndHeaders, id, number(2) + raw.hpack.block(get_fields()))));
  CHECK(raw.goaway_code() == kProtocolError);
  CHECK(raw.end.streams.at(id).reset == Reason::bad_response);
  CHECK(raw.end.connection->ended()->source == Source::upstream);
}

TEST_CASE("what is not the preface ends a server at its first wrong byte") {
  End server(Role::server);
  REQUIRE(server.feed(bytes_of("PRI * HT")));
  CHECK_FALSE(server.feed(bytes_of("X")));
  CHECK(server.connection->ended()->reason == Reason::bad_request);
}

TEST_CASE("an error after the last GOAWAY of a drain is still an error") {
  Raw raw(Role::server);
  REQUIRE(raw.say(raw.hpack.headers(1, get_fields(), false)));
  const uint32_t code = GENERATE(kNoError, kEnhanceYourCalm);
  raw.end.connection->goaway(code);
  raw.listen();
  CHECK(raw.goaway_code() == code);
  CHECK_FALSE(raw.end.connection->ended().has_value());
  CHECK_FALSE(raw.say(data(0, "x")));
  CHECK(raw.goaway_code() == kProtocolError);
  CHECK(raw.end.streams.at(1).reset == Reason::bad_request);
}

TEST_CASE("PING is answered, and the answer to our own is told") {
  Joined j;
  j.client.connection->ping();
  j.settle();
  CHECK(j.client.pongs == 1);
  CHECK(j.server.pongs == 0);
}

TEST_CASE("a released stream is told nothing more and goes as far as it was finished") {
  Joined j;
  const uint32_t finished = j.client.request(get()), half = j.client.request(post(), false);
  j.settle();
  REQUIRE(j.server.connection->respond(finished, answer(), true));
  j.server.connection->release(finished);
  j.client.connection->release(half);
  j.settle();
  CHECK(j.client.streams.at(finished).whole());
  CHECK_FALSE(j.server.streams.at(finished).closed);  // not told
  CHECK(j.server.streams.at(half).code == kCancel);
  CHECK(j.client.streams.count(half) == 0);
  CHECK(j.server.connection->active_streams() == 0);
  CHECK(j.client.connection->active_streams() == 0);
}

TEST_CASE("calls for a stream that is over or unknown do nothing") {
  Joined j;
  Connection& c = *j.client.connection;
  for (const uint32_t id : {0u, 1u, 77u}) {
    c.consume(id, 5);
    c.reset(id, kCancel);
    c.release(id);
    c.finish(id);
    c.write(id, io::copy_to_buffer(bytes_of("x")));
    CHECK(c.queued_bytes(id) == 0);
  }
  CHECK_FALSE(c.wants_output());
}

}  // namespace weir::http::h2::test

// Messages that RFC 9113 section 8 calls malformed, from peers that write frames by hand: each is a stream error, never
// an event, and the connection goes on.
#include "tests/unit/http/h2_raw_peer.h"

namespace weir::http::h2::test {
namespace {

const std::string kNul(1, '\0');

// Each list breaks one rule of a request.
const std::vector<std::pair<std::string, Fields>> kBadRequests = {
    {"upper case", get_fields({{"X-Upper", "1"}})},
    {"an empty name", get_fields({{"", "1"}})},
    {"a space in a name", get_fields({{"x y", "1"}})},
    {"a colon in a name", get_fields({{"x:y", "1"}})},
    {"connection", get_fields({{"connection", "close"}})},
    {"keep-alive", get_fields({{"keep-alive", "5"}})},
    {"proxy-connection", get_fields({{"proxy-connection", "close"}})},
    {"transfer-encoding", get_fields({{"transfer-encoding", "chunked"}})},
    {"upgrade", get_fields({{"upgrade", "h2c"}})},
    {"te other than trailers", get_fields({{"te", "gzip"}})},
    {"te with more than trailers", get_fields({{"te", "trailers, gzip"}})},
    {"CR in a value", get_fields({{"x", "a\rb"}})},
    {"LF in a value", get_fields({{"x", "a\nb"}})},
    {"NUL in a value", get_fields({{"x", "a" + kNul}})},
    {"DEL in a value", get_fields({{"x", "a\x7f"}})},
    {"a space before a value", get_fields({{"x", " a"}})},
    {"a tab behind a value", get_fields({{"x", "a\t"}})},
    {"no method", {{":scheme", "http"}, {":authority", "a"}, {":path", "/"}}},
    {"no scheme", {{":method", "GET"}, {":authority", "a"}, {":path", "/"}}},
    {"no path", {{":method", "GET"}, {":scheme", "http"}, {":authority", "a"}}},
    {"neither authority nor Host", {{":method", "GET"}, {":scheme", "http"}, {":path", "/"}}},
    {"an empty path", {{":method", "GET"}, {":scheme", "http"}, {":authority", "a"}, {":path", ""}}},
    {"an empty authority", {{":method", "GET"}, {":scheme", "http"}, {":authority", ""}, {":path", "/"}}},
    {"a method twice",
     {{":method", "GET"}, {":method", "GET"}, {":scheme", "http"}, {":authority", "a"}, {":path", "/"}}},
    {"a path twice",
     {{":method", "GET"}, {":scheme", "http"}, {":authority", "a"}, {":path", "/"}, {":path", "/"}}},
    {"a pseudo-header behind a field",
     {{":method", "GET"}, {":scheme", "http"}, {":authority", "a"}, {"x", "1"}, {":path", "/"}}},
    {"an unknown pseudo-header",
     {{":method", "GET"}, {":scheme", "http"}, {":authority", "a"}, {":path", "/"}, {":x", "1"}}},
    {"a pseudo-header of answers",
     {{":status", "200"}, {":method", "GET"}, {":scheme", "http"}, {":authority", "a"}, {":path", "/"}}},
    {"a path without slash", {{":method", "GET"}, {":scheme", "http"}, {":authority", "a"}, {":path", "x"}}},
    {"a path without slash in another scheme",
     {{":method", "GET"}, {":scheme", "ftp"}, {":authority", "a"}, {":path", "x"}}},
    {"* for other than OPTIONS",
     {{":method", "GET"}, {":scheme", "http"}, {":authority", "a"}, {":path", "*"}}},
    {"a fragment", {{":method", "GET"}, {":scheme", "http"}, {":authority", "a"}, {":path", "/a#b"}}},
    {"a space in the path",
     {{":method", "GET"}, {":scheme", "http"}, {":authority", "a"}, {":path", "/a b"}}},
    {"a path beyond ASCII",
     {{":method", "GET"}, {":scheme", "http"}, {":authority", "a"}, {":path", "/\xc3\xa4"}}},
    {"a malformed authority",
     {{":method", "GET"}, {":scheme", "http"}, {":authority", "a/b"}, {":path", "/"}}},
    {"user information", {{":method", "GET"}, {":scheme", "http"}, {":authority", "me@a"}, {":path", "/"}}},
    {"a malformed method", {{":method", "G ET"}, {":scheme", "http"}, {":authority", "a"}, {":path", "/"}}},
    {"a malformed scheme", {{":method", "GET"}, {":scheme", "1"}, {":authority", "a"}, {":path", "/"}}},
    {"Host twice", get_fields({{"host", "a"}, {"host", "b"}})},
    {"content-length twice", get_fields({{"content-length", "0"}, {"content-length", "0"}})},
    {"content-length not of digits", get_fields({{"content-length", "+0"}})},
    {"content-length as a list", get_fields({{"content-length", "0, 0"}})},
    {"content-length beyond 63 bits", get_fields({{"content-length", "9223372036854775808"}})},
    {"content-length of a body that does not come", get_fields({{"content-length", "1"}})},
    {"CONNECT with a path", {{":method", "CONNECT"}, {":authority", "a:1"}, {":path", "/"}}},
    {"CONNECT with a scheme", {{":method", "CONNECT"}, {":authority", "a:1"}, {":scheme", "http"}}},
    {"CONNECT without authority", {{":method", "CONNECT"}}},
    {"a protocol without CONNECT",
     {{":method", "GET"}, {":scheme", "http"}, {":authority", "a"}, {":path", "/"}, {":protocol", "x"}}},
    {"extended CONNECT without a path",
     {{":method", "CONNECT"}, {":scheme", "http"}, {":authority", "a"}, {":protocol", "x"}}},
    {"a protocol that is no token",
     {{":method", "CONNECT"},
      {":scheme", "http"},
      {":authority", "a"},
      {":path", "/"},
      {":protocol", "a b"}}},
};

const std::vector<std::pair<std::string, Fields>> kBadAnswers = {
    {"no status", {{"x", "1"}}},
    {"a status twice", {{":status", "200"}, {":status", "200"}}},
    {"a status of two digits", {{":status", "20"}}},
    {"a status with a sign", {{":status", "+20"}}},
    {"a status below 100", {{":status", "099"}}},
    {"101", {{":status", "101"}}},
    {"a status behind a field", {{"x", "1"}, {":status", "200"}}},
    {"a pseudo-header of requests", {{":status", "200"}, {":path", "/"}}},
    {"upper case", {{":status", "200"}, {"X", "1"}}},
    {"connection", {{":status", "200"}, {"connection", "close"}}},
    {"transfer-encoding", {{":status", "200"}, {"transfer-encoding", "chunked"}}},
    {"LF in a value", {{":status", "200"}, {"x", "a\nb"}}},
    {"a space behind a value", {{":status", "200"}, {"x", "a "}}},
    {"content-length of a body that does not come", {{":status", "200"}, {"content-length", "1"}}},
    {"content-length twice", {{":status", "200"}, {"content-length", "0"}, {"content-length", "1"}}},
    {"content-length with 204", {{":status", "204"}, {"content-length", "1"}}},
    {"an informational answer that ends", {{":status", "103"}}},
    {"content-length with 103", {{":status", "103"}, {"content-length", "0"}}},
};

}  // namespace

TEST_CASE("a malformed request is a stream error that its owner never sees") {
  for (const auto& [rule, fields] : kBadRequests) {
    INFO(rule);
    Raw raw(Role::server);
    REQUIRE(raw.say(raw.hpack.headers(1, fields)));
    CHECK(raw.end.streams.empty());
    CHECK(raw.reset_code(1) == kProtocolError);
    CHECK(raw.end.connection->counters().provoked_resets == 1);
    CHECK(raw.end.connection->active_streams() == 0);
    CHECK(raw.end.connection->broken_rule() != nullptr);
    // HPACK is still in step.
    REQUIRE(raw.say(raw.hpack.headers(3, get_fields({{"x-after", "1"}}))));
    CHECK(text_of(raw.end.streams.at(3).head().headers) == "x-after: 1\n");
  }
}

TEST_CASE("a malformed answer resets its stream and leaves the others") {
  for (const auto& [rule, fields] : kBadAnswers) {
    INFO(rule);
    Raw raw(Role::client);
    const uint32_t bad = raw.end.request(get());
    const uint32_t good = raw.end.request(get());
    raw.listen();
    REQUIRE(raw.say(raw.hpack.headers(bad, fields)));
    CHECK(raw.reset_code(bad) == kProtocolError);
    const Record& told = raw.end.streams.at(bad);
    CHECK(told.heads.empty());
    CHECK(told.reset == Reason::bad_response);
    CHECK_FALSE(told.unprocessed);
    CHECK(told.closed);
    REQUIRE(raw.say(raw.hpack.headers(good, {{":status", "200"}})));
    CHECK(raw.end.streams.at(good).whole());
  }
}

TEST_CASE("content-length unlike the sum of DATA is a stream error") {
  Raw raw(Role::server);
  const Fields fields = get_fields({{"content-length", "5"}});
  REQUIRE(raw.say(raw.hpack.headers(1, fields, false)));
  SECTION("too much") { REQUIRE(raw.say(data(1, "123456"))); }
  SECTION("too much, bit by bit") { REQUIRE(raw.say(data(1, "123") + data(1, "456"))); }
  SECTION("too little") { REQUIRE(raw.say(data(1, "1234", true))); }
  SECTION("nothing") { REQUIRE(raw.say(data(1, "", true))); }
  SECTION("too little before trailers") {
    REQUIRE(raw.say(data(1, "1234") + raw.hpack.headers(1, {{"x", "1"}})));
  }
  CHECK(raw.reset_code(1) == kProtocolError);
  CHECK(raw.end.streams.at(1).reset == Reason::bad_request);
  CHECK_FALSE(raw.end.streams.at(1).end);
  CHECK(raw.end.streams.at(1).trailers.empty());
}

TEST_CASE("content-length like the sum of DATA is good, padding not counted") {
  Raw raw(Role::server);
  REQUIRE(raw.say(raw.hpack.headers(1, get_fields({{"content-length", "5"}}), false)));
  REQUIRE(raw.say(data(1, "12") + frame(FrameType::data, kPadded | kEndStream, 1,
                                        std::string("\x04") + "345" + std::string(4, 'p'))));
  CHECK(raw.end.streams.at(1).body == "12345");
  CHECK(raw.end.streams.at(1).whole());
}

TEST_CASE("DATA in an answer that has no body is a stream error") {
  Raw raw(Role::client);
  Head head = get();
  std::string status = "200";
  SECTION("HEAD") { head.method = "HEAD"; }
  SECTION("204") { status = "204"; }
  SECTION("304") { status = "304"; }
  const uint32_t id = raw.end.request(head);
  raw.listen();
  REQUIRE(raw.say(raw.hpack.headers(id, {{":status", status}}, false) + data(id, "x", true)));
  CHECK(raw.end.streams.at(id).reset == Reason::bad_response);
  CHECK(raw.end.streams.at(id).body.empty());
}

TEST_CASE("DATA before the final answer is a stream error") {
  Raw raw(Role::client);
  const uint32_t id = raw.end.request(get());
  raw.listen();
  REQUIRE(raw.say(raw.hpack.headers(id, {{":status", "100"}}, false) + data(id, "x")));
  CHECK(raw.end.streams.at(id).reset == Reason::bad_response);
}

TEST_CASE("trailers with a pseudo-header, or that do not end the stream, are a stream error") {
  Raw raw(Role::server);
  REQUIRE(raw.say(raw.hpack.headers(1, get_fields(), false)));
  SECTION("pseudo-header") { REQUIRE(raw.say(raw.hpack.headers(1, {{":path", "/"}}))); }
  SECTION("not the end") { REQUIRE(raw.say(raw.hpack.headers(1, {{"x", "1"}}, false))); }
  SECTION("connection-specific") { REQUIRE(raw.say(raw.hpack.headers(1, {{"connection", "x"}}))); }
  CHECK(raw.reset_code(1) == kProtocolError);
  CHECK(raw.end.streams.at(1).reset == Reason::bad_request);
  CHECK(raw.end.streams.at(1).trailers.empty());
}

TEST_CASE("trailers lose what is not of trailers") {
  Raw raw(Role::server);
  REQUIRE(raw.say(raw.hpack.headers(1, get_fields(), false)));
  REQUIRE(raw.say(data(1, "12345") +
                  raw.hpack.headers(1, {{"content-length", "5"}, {"host", "other"}, {"x", "1"}})));
  CHECK(raw.end.streams.at(1).trailers == "x: 1\n");
  CHECK(raw.end.streams.at(1).end);
}

TEST_CASE("HEADERS inside a CONNECT tunnel are a stream error on either side") {
  SECTION("server") {
    Raw raw(Role::server);
    REQUIRE(raw.say(raw.hpack.headers(1, {{":method", "CONNECT"}, {":authority", "a:1"}}, false)));
    REQUIRE(raw.say(raw.hpack.headers(1, {{"x", "1"}})));
    CHECK(raw.end.streams.at(1).reset == Reason::bad_request);
  }
  SECTION("client") {
    Raw raw(Role::client);
    Head head;
    head.method = "CONNECT";
    head.authority = "a:1";
    const uint32_t id = raw.end.request(head, false);
    raw.listen();
    REQUIRE(
        raw.say(raw.hpack.headers(id, {{":status", "200"}}, false) + raw.hpack.headers(id, {{"x", "1"}})));
    CHECK(raw.end.streams.at(id).reset == Reason::bad_response);
  }
}

TEST_CASE("the authority wins over Host, and Host stands in for it") {
  Raw raw(Role::server);
  REQUIRE(raw.say(raw.hpack.headers(1, get_fields({{"host", "other.example"}}))));
  CHECK(raw.end.streams.at(1).head().authority == "shop.example");
  CHECK(raw.end.streams.at(1).head().headers.empty());
  REQUIRE(raw.say(raw.hpack.headers(
      3, {{":method", "GET"}, {":scheme", "http"}, {":path", "/"}, {"host", "other.example"}})));
  CHECK(raw.end.streams.at(3).head().authority == "other.example");
  CHECK(raw.end.streams.at(3).head().headers.empty());
}

TEST_CASE("cookie crumbs become one field where the first stood") {
  Raw raw(Role::server);
  REQUIRE(raw.say(raw.hpack.headers(
      1, get_fields({{"cookie", "a=b"}, {"x", "1"}, {"cookie", "c=d"}, {"cookie", "e=f"}}))));
  CHECK(text_of(raw.end.streams.at(1).head().headers) == "cookie: a=b; c=d; e=f\nx: 1\n");
}

TEST_CASE("empty cookie crumbs leave no space at the edge of the joined field") {
  Raw raw(Role::server);
  REQUIRE(raw.say(raw.hpack.headers(1, get_fields({{"cookie", ""}, {"cookie", "a=b"}, {"cookie", ""}}))));
  CHECK(text_of(raw.end.streams.at(1).head().headers) == "cookie: a=b\n");
}

TEST_CASE("unknown methods, OPTIONS of *, other schemes and status codes pass as they are") {
  Raw raw(Role::server);
  REQUIRE(raw.say(raw.hpack.headers(
      1, {{":method", "BrEw"}, {":scheme", "coffee"}, {":authority", "a"}, {":path", "/"}})));
  CHECK(raw.end.streams.at(1).head().method == "BrEw");
  CHECK(raw.end.streams.at(1).head().scheme == "coffee");
  REQUIRE(raw.say(raw.hpack.headers(
      3, {{":method", "OPTIONS"}, {":scheme", "http"}, {":authority", "a"}, {":path", "*"}})));
  CHECK(raw.end.streams.at(3).head().path == "*");
  Raw client(Role::client);
  const uint32_t id = client.end.request(get());
  client.listen();
  REQUIRE(client.say(client.hpack.headers(id, {{":status", "999"}})));
  CHECK(client.end.streams.at(id).head().status == 999);
}

TEST_CASE("a request's head above its limit is told with what fits, so that it can be answered with 431") {
  Raw raw(Role::server);
  Fields fields = get_fields();
  SECTION("too many fields") {
    for (int i = 0; i < 101; ++i) fields.emplace_back("x-" + std::to_string(i), "1");
  }
  SECTION("too many cookie crumbs") {
    for (int i = 0; i < 101; ++i) fields.emplace_back("cookie", "a=" + std::to_string(i));
  }
  SECTION("too many bytes") {
    for (int i = 0; i < 5; ++i) fields.emplace_back("x-" + std::to_string(i), std::string(14'000, 'v'));
  }
  // In frames of 16 KiB.
  std::string block = raw.hpack.block(fields), wire;
  for (size_t at = 0; at < block.size(); at += 16'384) {
    const bool last = at + 16'384 >= block.size();
    const uint8_t flags = (last ? kEndHeaders : 0) | (at == 0 ? kEndStream : 0);
    wire += frame(at == 0 ? FrameType::headers : FrameType::continuation, flags, 1, block.substr(at, 16'384));
  }
  REQUIRE(raw.say(wire));
  const Record& told = raw.end.streams.at(1);
  CHECK(told.heads.empty());
  REQUIRE(told.got_too_large);
  CHECK(told.too_large.path == "/");
  CHECK(told.too_large.headers.size() <= 100);
  CHECK(raw.end.connection->counters().heads_too_large == 1);
  REQUIRE(raw.end.connection->respond(1, answer(431), true));
  raw.end.connection->release(1);
  raw.listen();
  CHECK(raw.count(FrameType::headers) == 1);
  REQUIRE(raw.say(raw.hpack.headers(3, get_fields())));
  CHECK(raw.end.streams.at(3).head_end);
}

TEST_CASE("a head of exactly 100 fields passes") {
  Raw raw(Role::server);
  Fields fields = get_fields();
  for (int i = 0; i < 100; ++i) fields.emplace_back("x-" + std::to_string(i), "1");
  REQUIRE(raw.say(raw.hpack.headers(1, fields)));
  CHECK(raw.end.streams.at(1).head().headers.size() == 100);
}

TEST_CASE("an answer's head or trailers above the limit reset the stream") {
  Raw raw(Role::client);
  const uint32_t id = raw.end.request(get());
  raw.listen();
  Fields fields;
  for (int i = 0; i < 101; ++i) fields.emplace_back("x-" + std::to_string(i), "1");
  SECTION("head") {
    fields.insert(fields.begin(), {":status", "200"});
    REQUIRE(raw.say(raw.hpack.headers(id, fields)));
    CHECK(raw.end.streams.at(id).heads.empty());
  }
  SECTION("trailers") {
    REQUIRE(raw.say(raw.hpack.headers(id, {{":status", "200"}}, false) + raw.hpack.headers(id, fields)));
    CHECK(raw.end.streams.at(id).trailers.empty());
  }
  CHECK(raw.end.streams.at(id).reset == Reason::head_too_large);
  CHECK(raw.end.last_rule == "the head or trailers are above their limit");
}

}  // namespace weir::http::h2::test

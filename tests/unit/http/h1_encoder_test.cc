// What is written, byte by byte, and what is never written (http.md, rule zero).
#include "nodeproxy/http/h1_encoder.h"

#include <catch2/catch.hpp>

#include "tests/unit/http/h1_transcript.h"

namespace weir::http::h1::test {
namespace {

using namespace std::string_literals;

Head get() {
  Head head;
  head.method = "GET";
  head.authority = "a:80";
  head.path = "/x?y";
  return head;
}
Head answer(uint16_t status) {
  Head head;
  head.status = status;
  return head;
}

std::string written(const Head& head, const RequestOptions& options = {}) {
  std::string out = "before|";
  const auto body = append_request_head(out, head, options);
  return body ? out.substr(7) : "refused: " + *body.error().detail + (out == "before|" ? "" : " AND WRITTEN");
}
std::string answered(const Head& head, const ResponseOptions& options = {}) {
  std::string out = "before|";
  const auto body = append_response_head(out, head, options);
  return body ? out.substr(7) : "refused: " + *body.error().detail + (out == "before|" ? "" : " AND WRITTEN");
}

}  // namespace

TEST_CASE("a request is its line, Host first, its fields, framing and Connection") {
  Head head = get();
  head.headers.add("Accept", "*/*");
  head.headers.add("te", "trailers");
  CHECK(written(head, {.close = true, .whole_bytes = 0}) ==
        "GET /x?y HTTP/1.1\r\nHost: a:80\r\nAccept: */*\r\nte: trailers\r\nConnection: close, te\r\n\r\n");
  head = get();
  head.upgrade = "websocket";
  CHECK(written(head, {.whole_bytes = 0}) ==
        "GET /x?y HTTP/1.1\r\nHost: a:80\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n");
  head = get();
  head.method = "CONNECT";
  head.path.clear();
  CHECK(written(head) == "CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n");
  head.method = "OPTIONS";
  head.path = "*";
  head.authority = "";
  CHECK(written(head, {.whole_bytes = 0}) == "OPTIONS * HTTP/1.1\r\nHost: \r\n\r\n");
}

TEST_CASE("a request's body is framed by its length, else by what is here, else in chunks") {
  Head head = get();
  const std::string begin = "GET /x?y HTTP/1.1\r\nHost: a:80\r\n";
  CHECK(written(head, {.whole_bytes = 0}) == begin + "\r\n");
  CHECK(written(head, {.whole_bytes = 7}) == begin + "Content-Length: 7\r\n\r\n");
  CHECK(written(head) == begin + "Transfer-Encoding: chunked\r\n\r\n");
  head.content_length = 0;
  CHECK(written(head) == begin + "Content-Length: 0\r\n\r\n");
  head.content_length = 9223372036854775807;
  CHECK(written(head) == begin + "Content-Length: 9223372036854775807\r\n\r\n");
  CHECK(written(head, {.whole_bytes = 7}) == "refused: a body that is not as long as its head says");
  std::string out;
  CHECK(append_request_head(out, head) == Body::length);
  head.content_length.reset();
  CHECK(append_request_head(out, head) == Body::chunked);
  CHECK(append_request_head(out, head, {.whole_bytes = 0}) == Body::none);
}

TEST_CASE(
    "a response's body is framed by its length, else by what is here, in chunks, or by the close for 1.0") {
  const auto of = [](std::optional<uint64_t> length, const ResponseOptions& options) {
    Head head = answer(200);
    head.content_length = length;
    std::string text = answered(head, options);
    CHECK(text.starts_with("HTTP/1.1 200 OK\r\n"));
    return text.substr(17);
  };
  CHECK(of(5, {}) == "Content-Length: 5\r\n\r\n");
  CHECK(of({}, {}) == "Transfer-Encoding: chunked\r\n\r\n");
  CHECK(of({}, {.whole_bytes = 0}) == "Content-Length: 0\r\n\r\n");
  CHECK(of({}, {.whole_bytes = 3}) == "Content-Length: 3\r\n\r\n");
  CHECK(of({}, {.close = true}) == "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n");
  CHECK(of({}, {.peer = Version::http_1_0}) == "Connection: close\r\n\r\n");
  CHECK(of(5, {.peer = Version::http_1_0}) == "Content-Length: 5\r\nConnection: keep-alive\r\n\r\n");
  CHECK(of(5, {.close = true, .peer = Version::http_1_0}) ==
        "Content-Length: 5\r\nConnection: close\r\n\r\n");
  Head wrong = answer(200);
  wrong.content_length = 5;
  CHECK(answered(wrong, {.whole_bytes = 4}) == "refused: a body that is not as long as its head says");
  std::string out;
  CHECK(append_response_head(out, answer(200), {.peer = Version::http_1_0}) == Body::to_close);
}

TEST_CASE("an answer to HEAD and a 304 keep their length and have no body, 204 and 1xx have neither") {
  std::string out;
  for (const auto& [status, length] : {std::pair{200, "Content-Length: 5\r\n"},
                                       {304, "Content-Length: 5\r\n"},
                                       {204, ""},
                                       {100, ""},
                                       {103, ""}}) {
    Head head = answer(static_cast<uint16_t>(status));
    head.content_length = 5;
    out.clear();
    CHECK(append_response_head(out, head, {.to_head = status == 200}) == Body::none);
    CHECK(out == "HTTP/1.1 " + std::to_string(status) + " " + std::string(phrase(head.status)) + "\r\n" +
                     length + "\r\n");
  }
  out.clear();
  CHECK(append_response_head(out, answer(200), {.to_head = true}) == Body::none);
  CHECK(out == "HTTP/1.1 200 OK\r\n\r\n");
}

TEST_CASE("a switch of protocols is written with what it switches to and without framing") {
  Head head = answer(101);
  head.upgrade = "websocket";
  head.content_length = 5;
  CHECK(answered(head) ==
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n");
  head.upgrade.clear();
  CHECK(answered(head) == "refused: 101 without a protocol");
  CHECK(answered(answer(200), {.to_connect = true}) == "HTTP/1.1 200 OK\r\n\r\n");
  CHECK(answered(answer(403), {.whole_bytes = 0, .to_connect = true}) ==
        "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
}

TEST_CASE("informational heads are not written to 1.0") {
  CHECK(answered(answer(103), {.peer = Version::http_1_0}) == "");
  Head head = answer(101);
  head.upgrade = "x";
  CHECK(answered(head, {.peer = Version::http_1_0}) == "refused: 101 to HTTP/1.0");
}

TEST_CASE("a value with CR, LF or NUL is refused and nothing is written") {
  for (const char bad : {'\r', '\n', '\0', '\x7f', '\x1f'}) {
    Head head = get();
    head.headers.add("Fine", "value");
    head.headers.add("X", "a"s + bad + "Injected: b");
    CHECK(written(head) == "refused: a control character in a field's value");
    Head response = answer(200);
    response.headers = head.headers;
    CHECK(answered(response) == "refused: a control character in a field's value");
    head = get();
    head.upgrade = "a"s + bad;
    CHECK(written(head) == "refused: a control character in Upgrade");
    head = get();
    head.path += bad;
    CHECK(written(head) == "refused: a path that is not visible ASCII, or has #");
    head = get();
    head.authority += bad;
    CHECK(written(head) == "refused: an authority that is not a host and a port");
    head = get();
    head.method += bad;
    CHECK(written(head) == "refused: a method that is not a token");
    head = get();
    head.headers.add("X"s + bad, "y");
    CHECK(written(head) == "refused: a field name that is not a token");
  }
}

TEST_CASE("names, paths, methods and authorities that read in two ways are refused") {
  Head head = get();
  for (const char* name : {"", "a b", "a:", ":path", "a\t", "\xc3\xa9"}) {
    head = get();
    head.headers.add(name, "v");
    CHECK(written(head) == "refused: a field name that is not a token");
  }
  for (const char* path : {"", "x", "*", "http://b/"}) {
    head = get();
    head.path = path;
    CHECK(written(head) == "refused: a path that does not begin with /");
  }
  for (const char* path : {"/a b", "/a#b", "/\xc3\xa9"}) {
    head = get();
    head.path = path;
    CHECK(written(head) == "refused: a path that is not visible ASCII, or has #");
  }
  head = get();
  head.authority = "u@a";
  CHECK(written(head) == "refused: an authority that is not a host and a port");
  head = get();
  head.method = "CONNECT";
  CHECK(written(head) == "refused: CONNECT with a path");
  CHECK(answered(answer(99)) == "refused: a status that is not three digits");
  CHECK(answered(answer(1000)) == "refused: a status that is not three digits");
}

TEST_CASE("framing and connection fields that a filter added are refused") {
  for (const char* name : {"Content-Length", "transfer-encoding", "Connection", "Host", "Keep-Alive",
                           "Upgrade", "proxy-connection", "HTTP2-Settings", "transfer_encoding"}) {
    Head head = get();
    head.headers.add(name, "1");
    CHECK(written(head) == "refused: a field of framing or of one connection among the headers");
  }
  Head head = get();
  head.headers.add("TE", "gzip");
  CHECK(written(head) == "refused: TE other than trailers");
}

TEST_CASE("the edges of a value are trimmed when it is written") {
  Head head = get();
  head.headers.add("X", " \ta b\t ");
  CHECK(written(head, {.whole_bytes = 0}) == "GET /x?y HTTP/1.1\r\nHost: a:80\r\nX: a b\r\n\r\n");
}

TEST_CASE("chunks and the last one with its trailers") {
  std::string out;
  append_chunk_begin(out, 26);
  out.append("abcdefghijklmnopqrstuvwxyz").append(kChunkEnd);
  Headers trailers;
  trailers.add("grpc-status", "0");
  trailers.add("Content-Length", "5");
  trailers.add("Set-Cookie", "a=b");
  REQUIRE(append_last_chunk(out, &trailers));
  CHECK(out == "1a\r\nabcdefghijklmnopqrstuvwxyz\r\n0\r\ngrpc-status: 0\r\n\r\n");
  out.clear();
  REQUIRE(append_last_chunk(out));
  CHECK(out == "0\r\n\r\n");
  for (const auto& [name, value] : {std::pair{"x", "a\r\nb"}, {"x y", "z"}, {"", "z"}}) {
    trailers.clear();
    trailers.add(name, value);
    CHECK_FALSE(append_last_chunk(out, &trailers));
    CHECK(out == "0\r\n\r\n");
  }
}

TEST_CASE("every code of the registry has its phrase and others have none") {
  CHECK(phrase(100) == "Continue");
  CHECK(phrase(404) == "Not Found");
  CHECK(phrase(511) == "Network Authentication Required");
  CHECK(phrase(299) == "");
  CHECK(answered(answer(299), {.whole_bytes = 0}) == "HTTP/1.1 299 \r\nContent-Length: 0\r\n\r\n");
}

}  // namespace weir::http::h1::test

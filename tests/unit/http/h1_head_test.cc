// What becomes of targets, Host, Connection, Upgrade and Expect, and how a connection goes on (http.md "Target and
// Host", "Hop-by-hop fields").
#include <catch2/catch.hpp>

#include "nodeproxy/base/limits.h"
#include "tests/unit/http/h1_transcript.h"

namespace weir::http::h1::test {
namespace {

void refused(const std::string& request, std::string_view with) {
  INFO(request);
  CHECK(requests(request).refused == with);
}
std::string get(std::string_view target, std::string_view fields = "Host: a\r\n",
                std::string_view method = "GET") {
  return std::string(method) + " " + std::string(target) + " HTTP/1.1\r\n" + std::string(fields) + "\r\n";
}
Head head_of(const std::string& request) {
  const Run got = requests(request);
  INFO(request << got.text());
  REQUIRE(got.messages.size() == 1);
  return got.messages[0].head;
}
Run answer(std::string_view head, std::vector<Head> to = {}) {
  return responses(std::string(head) + "\r\n", std::move(to));
}

}  // namespace

TEST_CASE("a 1.1 request without Host, with two, or with a bad one is refused") {
  refused(get("/", ""), "400 no Host in HTTP/1.1");
  refused(get("/", "Host: a\r\nHost: a\r\n"), "400 Host is repeated");
  refused(get("http://b/", "Host: a\r\nHost: b\r\n"), "400 Host is repeated");
  refused(get("http://b/", ""), "400 no Host in HTTP/1.1");
  for (const char* host :
       {"a b",      "a/b",  "a?b",   "a#b",   "u@a",     "a:b",       "a:80:80", "a:65536",
        "a:000080", ":80",  "[::1",  "::1",   "[::1]x",  "[1.2.3.4]", "[v1.x]",  "[fe80::1%25eth0]",
        "%61",      "a\\b", "\"a\"", "a,b c", "\xc3\xa9"}) {
    refused(get("/", "Host: " + std::string(host) + "\r\n"), "400 Host is not a host and a port");
  }
  refused("GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", "400 Host is repeated");
  refused("GET / HTTP/1.0\r\nHost: a b\r\n\r\n", "400 Host is not a host and a port");
}

TEST_CASE("Host becomes the authority as it came and 1.0 may leave it out") {
  for (const char* host :
       {"a", "A.Example:8080", "[::1]", "[fd00::7]:80", "10.0.0.1:80", "a_b.svc", "a:", ""})
    CHECK(head_of(get("/", "Host:  " + std::string(host) + " \r\n")).authority == host);
  const Head head = head_of(get("/", "X: y\r\nhOsT: a\r\n"));
  CHECK_FALSE(head.headers.get("host"));
  CHECK(head.headers.size() == 1);
  CHECK(head_of("GET / HTTP/1.0\r\n\r\n").authority.empty());
}

TEST_CASE("absolute-form wins over Host and becomes origin-form") {
  const auto parts = [](const std::string& request) {
    const Head head = head_of(request);
    return head.scheme + " " + head.authority + " " + head.path;
  };
  CHECK(parts(get("http://b:81/c?d=/e")) == "http b:81 /c?d=/e");
  CHECK(parts(get("HTTPS://b/")) == "https b /");
  CHECK(parts(get("http://b")) == "http b /");
  CHECK(parts(get("http://b?x")) == "http b /?x");
  CHECK(parts(get("http://[::1]:8/x")) == "http [::1]:8 /x");
  CHECK(parts(get("http://b", "Host: a\r\n", "OPTIONS")) == "http b *");
  CHECK(parts(get("http://b/", "Host: a\r\n", "OPTIONS")) == "http b /");
  CHECK(parts("GET http://b/ HTTP/1.0\r\n\r\n") == "http b /");
}

TEST_CASE("an absolute-form without a clean authority is refused") {
  for (const char* target : {"http://", "http:///x", "http://u@b/", "http://u:p@b/", "http://:80/",
                             "http://b:x/", "http://%62/"}) {
    INFO(target);
    CHECK(requests(get(target)).refused.starts_with("400 "));
  }
  CHECK(requests(get("ftp://b/")).refused == "400 a target with another scheme than http and https");
}

TEST_CASE("a path without a slash, with # or a bare asterisk is refused") {
  for (const char* target : {"a", "a/b", "?a", "b:80", "http:", "http:/b", "**", "*x", "%2f", "\\a"}) {
    INFO(target);
    CHECK(requests(get(target)).refused.starts_with("400 "));
  }
  refused(get("/a#b"), "400 # in a target");
  refused(get("*"), "400 a target of * for another method than OPTIONS");
  CHECK(head_of(get("*", "Host: a\r\n", "OPTIONS")).path == "*");
}

TEST_CASE("a path passes untouched") {
  for (const char* path :
       {"/", "//", "/a/../b", "/%2F%5c%00", "/a\\b", "/a?b?c=[]{}|\"<>^`", "/;p", "/*", "/@:!$&'()+,="})
    CHECK(head_of(get(path)).path == path);
}

TEST_CASE("any token is a method and its case is kept") {
  for (const char* method : {"GET", "get", "PATCH", "QUERY", "X-OWN", "M!#$%&'*+-.^_`|~9", "DESCRIBE",
                             "SOURCE", "GETX", "GE", "CONNECTX", "connect"}) {
    CHECK(head_of(get("/", "Host: a\r\n", method)).method == method);
  }
}

TEST_CASE("hop-by-hop fields and what Connection names are taken out, framing cannot be named away") {
  const Head head = head_of(
      get("/",
          "Host: a\r\nKeep: 1\r\nX-Hop: 1\r\nConnection: x-HOP, Keep-Alive ,,content-length\r\nx-hop: 2\r\n"
          "Keep-Alive: timeout=5\r\nProxy-Connection: close\r\nConnection: host , second\r\nSecond: 2\r\n"
          "Content-Length: 0\r\nHTTP2-Settings: x\r\nAlso: 1\r\n"));
  CHECK(describe(head) == "GET a / length=0\n  Keep: 1\n  Also: 1\n");
  const Run got = responses(
      "HTTP/1.1 200 OK\r\nConnection: transfer-encoding, x\r\nX: 1\r\nTransfer-Encoding: chunked\r\nY: "
      "2\r\n\r\n0\r\n\r\n");
  CHECK(got.text() == "200\n  Y: 2\nend\nreusable\n");
}

TEST_CASE("the lists of Connection and Upgrade are bounded, since each of their words costs a search") {
  const auto words = [](size_t count) {
    std::string list = "w";
    for (size_t i = 1; i < count; ++i) list += ",w";
    return list;
  };
  CHECK(requests(get("/", "Host: a\r\nConnection: " + words(limits::http_fields_max) + "\r\n")).refused ==
        "");
  refused(get("/", "Host: a\r\nConnection: " + words(limits::http_fields_max + 1) + "\r\n"),
          "431 Connection names more fields than there can be");
  CHECK(head_of(get("/", "Host: a\r\nConnection: upgrade\r\nUpgrade: " + words(16) + "\r\n")).upgrade.size() >
        16);
  refused(get("/", "Host: a\r\nConnection: upgrade\r\nUpgrade: " + words(17) + "\r\n"),
          "431 Upgrade names too many protocols");
}

TEST_CASE("names with an underscore pass unless they shadow framing") {
  CHECK(describe(head_of(get("/",
                             "Host: a\r\nX_Y: 1\r\nContent_Length: 5\r\nTransfer_encoding: chunked\r\n"
                             "Keep_Alive: 1\r\nHTTP2_Settings: x\r\nPROXY_CONNECTION: close\r\n"))) ==
        "GET a /\n  X_Y: 1\n");
}

TEST_CASE("TE goes but for trailers") {
  CHECK(describe(head_of(get("/", "Host: a\r\nTE: gzip;q=0.5 , Trailers\r\nConnection: TE\r\n"))) ==
        "GET a /\n  te: trailers\n");
  CHECK(describe(head_of(get("/", "Host: a\r\nTE: trailers\r\nTE: trailers\r\n"))) ==
        "GET a /\n  te: trailers\n");
  CHECK(describe(head_of(get("/", "Host: a\r\nTE: gzip\r\n"))) == "GET a /\n");
}

TEST_CASE("Upgrade needs Connection and 1.1, and h2c is stripped") {
  const auto upgrade = [](std::string_view fields) {
    return head_of(get("/", "Host: a\r\n" + std::string(fields))).upgrade;
  };
  CHECK(upgrade("Upgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n") == "websocket");
  CHECK(upgrade("Upgrade: websocket\r\n") == "");
  CHECK(upgrade("Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABk\r\n") == "");
  CHECK(upgrade("Upgrade: H2C, SPDY/3.1,\r\nUpgrade: tcp\r\nConnection: upgrade\r\n") == "SPDY/3.1, tcp");
  CHECK(head_of("GET / HTTP/1.0\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n").upgrade.empty());
  refused(get("/", "Host: a\r\nUpgrade: a b\r\nConnection: upgrade\r\n"),
          "400 Upgrade does not name a protocol");
  CHECK(head_of(get("/", "Host: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\n")).headers.empty());
}

TEST_CASE("the decoder stops behind a request that asks for another protocol") {
  const std::string ask = get("/", "Host: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\n");
  CHECK(requests(ask + "\x81\x05hello").text() ==
        "GET a / upgrade=websocket\nend\nleft: \x81\x05hello\nat switch\n");
  CHECK(requests(get("/", "Host: a\r\nUpgrade: x\r\nConnection: upgrade\r\nContent-Length: 2\r\n") + "hirest")
            .text() == "GET a / length=2 upgrade=x\n[hi]\nend\nleft: rest\nat switch\n");
  CHECK(requests(get("/", "Host: a\r\nUpgrade: x\r\nConnection: upgrade\r\nTransfer-Encoding: chunked\r\n") +
                 "2\r\nhi\r\n0\r\n\r\nrest")
            .text() == "GET a / upgrade=x\n[hi]\nend\nleft: rest\nat switch\n");
  // Refused by the other side, HTTP goes on.
  CHECK(requests(ask + get("/next"), true).text() ==
        "GET a / upgrade=websocket\nend\nGET a /next\nend\nreusable\n");
}

TEST_CASE("a request for h2c goes on as HTTP/1.1") {
  CHECK(requests(get("/", "Host: a\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n") + get("/next")).text() ==
        "GET a /\nend\nGET a /next\nend\nreusable\n");
}

TEST_CASE("CONNECT takes host and port and leaves what follows") {
  const Run got = requests(get("b:443", "Host: a\r\nX: y\r\nContent-Length: 0\r\n", "CONNECT") + "tunnelled");
  CHECK(got.text() == "CONNECT b:443 \n  X: y\nend\nleft: tunnelled\nat switch\n");
  CHECK(head_of(get("[::1]:443", "Host: a\r\n", "CONNECT")).authority == "[::1]:443");
  for (const char* target :
       {"b", "/x", "b:", ":443", "http://b:443/", "b:x", "u@b:443", "b:443/", "*", "::1:443"}) {
    INFO(target);
    CHECK(requests(get(target, "Host: a\r\n", "CONNECT")).refused.starts_with("400 "));
  }
  refused(get("b:443", "Host: a\r\nContent-Length: 1\r\n", "CONNECT"), "400 CONNECT with a body");
  refused(get("b:443", "Host: a\r\nTransfer-Encoding: chunked\r\n", "CONNECT"), "400 CONNECT with a body");
  // What follows one that was refused may be the tunnel's first bytes: the connection does not go on.
  CHECK(requests(get("b:443", "Host: a\r\n", "CONNECT") + get("/"), true).text() ==
        "CONNECT b:443 \nend\nleft: " + get("/") + "\nclosed\n");
}

TEST_CASE("a 2xx to CONNECT and a 101 hand the connection over whatever they claim") {
  CHECK(answer("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n", {asking("CONNECT")}).text() == "200\nat switch\n");
  CHECK(responses("HTTP/1.1 204 OK\r\nTransfer-Encoding: chunked\r\n\r\nraw", {asking("CONNECT")}).text() ==
        "204\nleft: raw\nat switch\n");
  CHECK(
      responses("HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\nContent-Length: 9\r\n\r\nraw",
                {asking("GET", "websocket")})
          .text() == "101 upgrade=WebSocket\nleft: raw\nat switch\n");
  CHECK(answer("HTTP/1.1 403 No\r\nContent-Length: 0\r\n", {asking("CONNECT")}).text() ==
        "403 length=0\nend\nreusable\n");
  CHECK(answer("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n", {asking("GET", "websocket")}).text() ==
        "200 length=0\nend\nreusable\n");
}

TEST_CASE("a 101 that agrees to what was not offered is refused") {
  const char* agreed = "HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n";
  CHECK(answer(agreed).refused.starts_with("502 101 to a request that offered nothing"));
  CHECK(answer(agreed, {asking("GET", "tcp")}).refused == "502 101 for a protocol that was not offered");
  CHECK(answer(agreed, {asking("GET", "tcp, websocket")}).at_switch);
  for (const char* head : {"HTTP/1.1 101 X\r\n", "HTTP/1.1 101 X\r\nUpgrade: websocket\r\n",
                           "HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n",
                           "HTTP/1.0 101 X\r\nConnection: "
                           "Upgrade\r\nUpgrade: websocket\r\n"}) {
    CHECK(answer(head, {asking("GET", "websocket")}).refused.starts_with("502 101 "));
  }
}

TEST_CASE("100-continue, 103 and 102 pass as heads of their own before the answer") {
  CHECK(responses("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
                  "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            .text() == "100\n103\n  Link: </a>\n200 length=2\n[ok]\nend\nreusable\n");
}

TEST_CASE("Expect is seen in 1.1 and dropped in 1.0, where it means nothing") {
  CHECK(describe(head_of(get("/", "Host: a\r\nExpect: 100-Continue\r\nContent-Length: 0\r\n"))) ==
        "GET a / length=0 expect\n  Expect: 100-Continue\n");
  CHECK(describe(head_of("GET / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n")) == "GET  / 1.0\n");
  CHECK_FALSE(head_of(get("/", "Host: a\r\nExpect: other\r\n")).expect_continue);
  CHECK_FALSE(head_of(get("/", "Host: a\r\nExpect: 100-continue\r\nConnection: expect\r\n")).expect_continue);
}

TEST_CASE("a connection goes on as version and Connection say") {
  const auto goes_on = [](std::string_view version, std::string_view connection) {
    const std::string request =
        "GET / " + std::string(version) + "\r\nHost: a\r\n" + std::string(connection) + "\r\n";
    const Run got = requests(request + request);
    CHECK(got.messages.size() == (got.keep_alive ? 2 : 1));
    CHECK(got.left == (got.keep_alive ? "" : request));  // untouched, never read as a request
    CHECK(got.reusable == got.keep_alive);
    const Run answered = responses(std::string(version) + " 204 X\r\n" + std::string(connection) + "\r\n");
    CHECK(answered.reusable == got.keep_alive);
    return got.keep_alive;
  };
  CHECK(goes_on("HTTP/1.1", ""));
  CHECK(goes_on("HTTP/1.1", "Connection: keep-alive\r\n"));
  CHECK_FALSE(goes_on("HTTP/1.1", "Connection: x, Close\r\n"));
  CHECK_FALSE(goes_on("HTTP/1.1", "Connection: keep-alive\r\nConnection: close\r\n"));
  CHECK_FALSE(goes_on("HTTP/1.0", ""));
  CHECK(goes_on("HTTP/1.0", "Connection: Keep-Alive\r\n"));
  CHECK_FALSE(goes_on("HTTP/1.0", "Connection: keep-alive, close\r\n"));
}

TEST_CASE("pipelined responses answer their requests in order") {
  const std::string three =
      "HTTP/1.1 200 A\r\nContent-Length: 7\r\n\r\nHTTP/1.1 200 B\r\nContent-Length: 1\r\n\r\nbHTTP/1.1 204 "
      "C\r\n\r\n";
  CHECK(responses(three, {asking("HEAD"), asking("GET"), asking("DELETE")}).text() ==
        "200 length=7\nend\n200 length=1\n[b]\nend\n204\nend\nreusable\n");
}

TEST_CASE("bytes behind a response that nobody asked for are seen and refused") {
  Decoder decoder(Decoder::Role::responses);
  decoder.expect_response_to(asking("GET"));
  auto input = bytes_of("HTTP/1.1 204 X\r\n\r\nHTTP/1.1 200 OK\r\n\r\n");
  CHECK(decoder.next(input)->kind == Decoder::Kind::head);
  CHECK_FALSE(decoder.reusable());
  CHECK(decoder.next(input)->kind == Decoder::Kind::end);
  CHECK(decoder.reusable());
  CHECK_FALSE(input.empty());  // so this connection is not pooled
  const auto more = decoder.next(input);
  REQUIRE_FALSE(more);
  CHECK(more.error().reason == Reason::bad_response);
  CHECK(more.error().source == Source::upstream);
  CHECK(more.error().describe().find("bytes that answer no request") != std::string::npos);
}

TEST_CASE("a refused connection stays refused and takes nothing more") {
  Decoder decoder(Decoder::Role::requests);
  auto input = bytes_of("GET / HTTP/1.1\nHost: a\r\n\r\n");
  REQUIRE_FALSE(decoder.next(input));
  const std::string good = get("/");
  input = bytes_of(good);
  const auto again = decoder.next(input);
  REQUIRE_FALSE(again);
  CHECK(again.error().reason == Reason::bad_request);
  CHECK(decoder.status() == 400);
  CHECK(decoder.rule() == "LF without CR");
  CHECK(input.size() == good.size());
}

TEST_CASE("a head is reported as soon as it is whole and says whether a body follows") {
  Decoder decoder(Decoder::Role::requests);
  auto input = bytes_of("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n");
  CHECK_FALSE(decoder.begun());
  CHECK(decoder.next(input)->kind == Decoder::Kind::head);
  CHECK(decoder.body_follows());
  CHECK(decoder.next(input)->kind == Decoder::Kind::need_more);
  CHECK(decoder.begun());
  const std::string body = "abcGET ";
  input = bytes_of(body);
  const auto event = decoder.next(input);
  REQUIRE(event->kind == Decoder::Kind::body);
  CHECK(text_of(event->body) == "abc");
  CHECK(static_cast<const void*>(event->body.data()) == body.data());  // not a copy
  CHECK(decoder.next(input)->kind == Decoder::Kind::end);
  CHECK_FALSE(decoder.begun());
  CHECK(decoder.next(input)->kind == Decoder::Kind::need_more);
  CHECK(decoder.begun());
}

TEST_CASE("a 426 keeps the protocols it asks for and other answers lose theirs") {
  CHECK(answer("HTTP/1.1 426 X\r\nContent-Length: 0\r\nConnection: upgrade\r\nUpgrade: TLS/1.3\r\n").text() ==
        "426 length=0 upgrade=TLS/1.3\nend\nreusable\n");
  CHECK(answer("HTTP/1.1 200 X\r\nContent-Length: 0\r\nConnection: upgrade\r\nUpgrade: h2,h2c\r\n").text() ==
        "200 length=0\nend\nreusable\n");
}

}  // namespace weir::http::h1::test

// What a port is declared to speak, and what the first bytes say.
#include "nodeproxy/detect/http.h"

#include <catch2/catch.hpp>
#include <string>

#include "nodeproxy/base/limits.h"

namespace weir::detect {
namespace {

Speech speech(std::string_view text, bool declared = false) {
  return speech_of(std::as_bytes(std::span(text)), declared);
}

constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

TEST_CASE("appProtocol says what a port speaks, and wins over its name") {
  CHECK(hint_of("http", "", 9000) == Hint::http);
  CHECK(hint_of("kubernetes.io/h2c", "", 9000) == Hint::http);
  CHECK(hint_of("kubernetes.io/ws", "", 9000) == Hint::http);
  CHECK(hint_of("tcp", "http", 9000) == Hint::opaque);
  CHECK(hint_of("http", "mysql", 3306) == Hint::http);
  CHECK(hint_of("kubernetes.io/wss", "http", 9000) == Hint::opaque);
}

TEST_CASE("a port's name says what it speaks by itself or by its first word") {
  CHECK(hint_of("", "http", 9000) == Hint::http);
  CHECK(hint_of("", "http-web", 9000) == Hint::http);
  CHECK(hint_of("", "grpc-web", 9000) == Hint::http);
  CHECK(hint_of("", "mysql-main", 9000) == Hint::opaque);
  CHECK(hint_of("", "https", 9000) == Hint::opaque);
  CHECK(hint_of("", "httpx", 9000) == Hint::unknown);
  CHECK(hint_of("", "my-http", 9000) == Hint::unknown);
}

TEST_CASE(
    "without a word the well-known ports of servers that speak first are opaque, others are looked at") {
  for (const uint16_t port : {21, 22, 25, 110, 143, 587, 3306, 5900})
    CHECK(hint_of("", "", port) == Hint::opaque);
  CHECK(hint_of("", "", 80) == Hint::unknown);
  CHECK(hint_of("", "", 6379) == Hint::unknown);
  CHECK(hint_of("", "web", 3306) == Hint::http);
}

TEST_CASE("HTTP/2 by prior knowledge has to be declared as that") {
  for (const char* word : {"http2", "h2c", "kubernetes.io/h2c", "grpc"}) CHECK(declared_h2(word, ""));
  CHECK(declared_h2("", "grpc"));
  CHECK(declared_h2("", "grpc-cart"));
  CHECK(!declared_h2("", "http"));
  CHECK(!declared_h2("http", "grpc"));
  CHECK(!declared_h2("", ""));
}

TEST_CASE("the HTTP/2 preface is HTTP/2 once it is whole, wherever it is cut") {
  for (size_t size = 1; size < kPreface.size(); ++size) {
    INFO(size);
    CHECK(speech(kPreface.substr(0, size)) == Speech::need_more);
  }
  CHECK(speech(kPreface) == Speech::http2);
  CHECK(speech(std::string(kPreface) + "more") == Speech::http2);
}

TEST_CASE("on an undeclared port the whole request line decides") {
  const std::string line = "GET /a?b HTTP/1.1\r\n";
  for (size_t size = 0; size + 2 < line.size(); ++size) {
    INFO(size);
    CHECK(speech(line.substr(0, size)) == Speech::need_more);
  }
  CHECK(speech(line) == Speech::http1);
  CHECK(speech("PURGE /x HTTP/1.0\r\n") == Speech::http1);
  CHECK(speech("GET /no/version\r\n") == Speech::opaque);
  CHECK(speech("GET key\r\n") == Speech::opaque);
  CHECK(speech("SET key HTTP/2\r\n") == Speech::opaque);
  CHECK(speech("PING\r\n") == Speech::opaque);
}

TEST_CASE("on a declared port a method token decides, so that what is wrong with the rest is answered") {
  CHECK(speech("GET ", true) == Speech::http1);
  CHECK(speech("GET /no/version\r\n", true) == Speech::http1);
  CHECK(speech("GE", true) == Speech::need_more);
}

TEST_CASE("what begins as no method is opaque at once") {
  CHECK(speech("\x16\x03\x01", true) == Speech::opaque);
  CHECK(speech("*1\r\n$4\r\nPING\r\n") == Speech::opaque);
  CHECK(speech(" GET / HTTP/1.1\r\n") == Speech::opaque);
  CHECK(speech(std::string_view("\0\0\0\x08", 4)) == Speech::opaque);
}

TEST_CASE("a method or a target without end is opaque, not waited for") {
  CHECK(speech(std::string(31, 'A'), true) == Speech::opaque);  // begins no method: any protocol's word
  CHECK(speech("PATC", true) == Speech::need_more);
  CHECK(speech("ping", false) == Speech::opaque);
  CHECK(speech(std::string(limits::http_method_max_bytes, 'A'), true) == Speech::opaque);
  CHECK(speech("GET /" + std::string(8000, 'a')) == Speech::need_more);
  CHECK(speech("GET /" + std::string(9000, 'a')) == Speech::opaque);
}

}  // namespace
}  // namespace weir::detect

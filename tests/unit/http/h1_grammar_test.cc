// The words by themselves.
#include "nodeproxy/http/h1_grammar.h"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

namespace weir::http::h1::test {

TEST_CASE("a control is found at every place of a text and only HTAB is none") {
  for (size_t size = 1; size < 40; ++size) {
    for (size_t at = 0; at < size; ++at) {
      for (int c = 0; c < 256; ++c) {
        std::string text(size, 'x');
        text[at] = static_cast<char>(c);
        const bool control = (c < 0x20 && c != '\t') || c == 0x7f;
        if (find_control(text) != (control ? at : std::string::npos)) FAIL(size << " " << at << " " << c);
        if (control && at + 1 < size && find_control(text, at + 1) != std::string::npos)
          FAIL("found behind itself");
      }
    }
  }
  CHECK(find_control("a\tb\x80\xff\tc\x7f\x01") == 7);
  CHECK(find_control("") == std::string::npos);
}

TEST_CASE("a list gives its elements trimmed and the empty ones too") {
  std::string_view list = " a ,,b\t,", element;
  std::vector<std::string> got;
  while (next_element(list, element)) got.emplace_back(element);
  CHECK(got == std::vector<std::string>{"a", "", "b", ""});
}

TEST_CASE("an authority with a port has digits behind its last colon") {
  CHECK(has_port("a:80"));
  CHECK(has_port("[::1]:80"));
  CHECK_FALSE(has_port("[::1]"));
  CHECK_FALSE(has_port("a"));
  CHECK_FALSE(has_port("a:"));
}

TEST_CASE("no field of framing, routing or credentials may trail") {
  for (const char* name : {"Content-Length", "TRANSFER-ENCODING", "host", "Connection", "Authorization",
                           "Set-Cookie", "Content-Type", "Expect", "te", "Trailer"})
    CHECK_FALSE(may_trail(name));
  for (const char* name : {"grpc-status", "grpc-message", "Server-Timing", "Digest", "X-Host"})
    CHECK(may_trail(name));
}

}  // namespace weir::http::h1::test

// What the guard refuses before llhttp sees it, and what llhttp alone would have taken (http.md, rule zero).
#include <catch2/catch.hpp>

#include "nodeproxy/base/limits.h"
#include "tests/unit/http/h1_transcript.h"

namespace weir::http::h1::test {
namespace {

using namespace std::string_literals;

void refused(const std::string& request, std::string_view with) {
  INFO(request);
  CHECK(requests(request).refused == with);
}
std::string with_line(std::string_view line) {
  return "GET / HTTP/1.1\r\nHost: a\r\n" + std::string(line) + "\r\n\r\n";
}

// Whether strict llhttp takes all of it as whole messages.
bool llhttp_takes(llhttp_type_t type, std::string_view text) {
  llhttp_settings_t settings;
  llhttp_settings_init(&settings);
  static int whole;
  whole = 0;
  settings.on_headers_complete = [](llhttp_t*) { return ++whole, 0; };
  llhttp_t parser;
  llhttp_init(&parser, type, &settings);
  return llhttp_execute(&parser, text.data(), text.size()) == HPE_OK && whole > 0;
}

}  // namespace

TEST_CASE("what llhttp alone lets through the decoder refuses") {
  // CVE-2023-30589 is of this kind: a CR or an LF alone where CRLF must stand.
  for (const std::string& request :
       {"\rGET / HTTP/1.1\r\nHost: a\r\n\r\n"s, "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"s,
        "GET / HTTP/1.1\r\nHost: a\r\n\n"s, "GET / HTTP/1.1\r\nHost: a\r\n\n\r\n"s,
        "GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n"s, "GET /#a HTTP/1.1\r\nHost: a\r\n\r\n"s,
        "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"s, "GET / HTTP/1.1\r\n\r\n"s,
        "GET / HTTP/2.0\r\nHost: a\r\n\r\n"s, "GET / HTTP/0.9\r\nHost: a\r\n\r\n"s}) {
    INFO(request);
    CHECK(llhttp_takes(HTTP_REQUEST, request));
    CHECK_FALSE(requests(request).refused.empty());
  }
  for (const std::string& response :
       {"\rHTTP/1.1 204 X\r\n\r\n"s, "HTTP/1.1 204 X\r\nA: b\r\n\n"s, "HTTP/1.1 204 \0X\r\n\r\n"s,
        "HTTP/1.1 204 X\x01\r\n\r\n"s, "HTTP/1.1 20 X\r\n\r\n"s, "HTTP/1.1 099 X\r\n\r\n"s,
        "HTTP/1.1 200 X\r\nTransfer-Encoding: gzip\r\n\r\n"s}) {
    INFO(response);
    CHECK(llhttp_takes(HTTP_RESPONSE, response));
    CHECK_FALSE(responses(response).refused.empty());
  }
}

TEST_CASE("llhttp is compiled strict") {
  // Loose, 8.1.0 takes these: the bare CR of CVE-2023-30589, and a space before the colon.
  CHECK_FALSE(llhttp_takes(HTTP_REQUEST, "GET / HTTP/1.1\r\nHost: a\r\nX:\rContent-Length: 5\r\n\r\n"));
  CHECK_FALSE(llhttp_takes(HTTP_REQUEST, "GET / HTTP/1.1\r\nHost: a\r\nX : b\r\n\r\n"));
  CHECK(LLHTTP_STRICT_MODE == 1);
}

TEST_CASE("a bare CR is refused wherever it stands") {
  const std::string good = "GET /a HTTP/1.1\r\nHost: a\r\nX:\r\nContent-Length: 0\r\n\r\n";
  REQUIRE(requests(good).refused.empty());
  for (size_t at = 0; at < good.size(); ++at) {
    std::string bad = good;
    bad.insert(at, 1, '\r');
    refused(bad, "400 CR without LF");
  }
}

TEST_CASE("a bare LF is refused wherever it stands") {
  const std::string good = "GET /a HTTP/1.1\r\nHost: a\r\nX:\r\nContent-Length: 0\r\n\r\n";
  for (size_t at = 0; at < good.size(); ++at) {
    std::string bad = good;
    if (good[at] == '\n')
      bad.erase(at - 1, 1);  // LF for CRLF
    else if (good[at] != '\r')
      bad.insert(at, 1, '\n');
    else
      continue;
    refused(bad, "400 LF without CR");
  }
}

TEST_CASE("a NUL is refused wherever it stands, and so is every other control") {
  const std::string good = "GET /a HTTP/1.1\r\nHost: a\r\nX: b\r\n\r\n";
  for (size_t at = 0; at < good.size(); ++at) {
    if (good[at] == '\n') continue;  // between CR and LF the CR is what is bare
    for (int c = 0; c <= 0x7f; ++c) {
      if ((c >= 0x20 && c < 0x7f) || c == '\t' || c == '\r' || c == '\n') continue;
      std::string bad = good;
      bad.insert(at, 1, static_cast<char>(c));
      refused(bad, c == 0 ? "400 NUL in a head" : "400 a control character in a head");
    }
  }
}

TEST_CASE("a folded line is refused") {
  refused(with_line("X: a\r\n b"), "400 a folded line, or a space before the first field");
  refused(with_line("X: a\r\n\tb"), "400 a folded line, or a space before the first field");
  refused("GET / HTTP/1.1\r\n Host: a\r\n\r\n", "400 a folded line, or a space before the first field");
}

TEST_CASE("a space before the colon is refused") {
  refused(with_line("X : a"), "400 a space before the colon");
  refused(with_line("Transfer-Encoding\t: chunked"), "400 a space before the colon");
}

TEST_CASE("a field name that is empty or not a token is refused") {
  refused(with_line(": a"), "400 a field without a name");
  refused(with_line("X"), "400 a field line without a colon");
  for (const char c : "(),/;<=>?@[\\]{}\"\x80\xff"s)
    refused(with_line("X"s + c + "Y: a"), "400 a field name that is not a token");
}

TEST_CASE("every token character may stand in a name, case and underscores kept") {
  const Run got = requests(with_line("x_Y!#$%&'*+-.^`|~09: v"));
  CHECK(got.messages.at(0).head.headers.get("X_y!#$%&'*+-.^`|~09") == "v");
  CHECK((*got.messages[0].head.headers.begin()).name == "x_Y!#$%&'*+-.^`|~09");
}

TEST_CASE("values lose the space around them and keep tabs and bytes above 0x7f") {
  const Run got = requests(with_line("A: \t b\tc \xc3\xa9 \t \r\nB:\r\nC:c"));
  CHECK(describe(got.messages.at(0).head.headers) == "  A: b\tc \xc3\xa9\n  B: \n  C: c\n");
}

TEST_CASE("a head of 64 KiB and 100 fields passes and one more of either is 431") {
  std::string fields;
  for (uint32_t i = 1; i < limits::http_fields_max; ++i) fields += "X: y\r\n";
  std::string head = "GET / HTTP/1.1\r\nHost: a\r\n" + fields + "\r\n";
  CHECK(requests(head).messages.size() == 1);
  CHECK(requests("GET / HTTP/1.1\r\nHost: a\r\nY: z\r\n" + fields + "\r\n").refused ==
        "431 more fields than the limit");
  const auto of_size = [](size_t size) {
    const std::string begin = "GET / HTTP/1.1\r\nHost: a\r\nX: ";
    return begin + std::string(size - begin.size() - 4, 'x') + "\r\n\r\n";
  };
  CHECK(requests(of_size(limits::http_head_max_bytes)).messages.size() == 1);
  const Run over = requests(of_size(limits::http_head_max_bytes + 1));
  CHECK(over.refused == "431 the head is longer than its limit");
  CHECK(over.reason == Reason::head_too_large);
  // Without an end it is refused as soon as it is too long.
  CHECK(requests(of_size(limits::http_head_max_bytes + 100).substr(0, limits::http_head_max_bytes + 1))
            .refused == over.refused);
  CHECK(responses("HTTP/1.1 200 OK\r\nX: " + std::string(limits::http_head_max_bytes, 'x')).reason ==
        Reason::head_too_large);
}

TEST_CASE(
    "an answer's informational heads have the limit of one head together, and the next answer its own") {
  const std::string hints = "HTTP/1.1 103 Hints\r\nX: " + std::string(4000, 'x') + "\r\n\r\n";
  std::string many;
  for (int i = 0; i < 16; ++i) many += hints;
  const std::string answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
  CHECK(responses(many + answer).refused.empty());
  CHECK(responses(many + answer + many + answer, {asking("GET"), asking("GET")}).refused.empty());
  const Run over = responses(many + hints + answer);
  CHECK(over.refused == "502 the 1xx heads are above their limit");
  CHECK(over.reason == Reason::head_too_large);
}

TEST_CASE("a target of 8 KiB passes and a longer one is 414, ended or not") {
  const auto get = [](size_t size) { return "GET /" + std::string(size - 1, 'p'); };
  CHECK(requests(get(limits::http_url_max_bytes) + " HTTP/1.1\r\nHost: a\r\n\r\n").messages.size() == 1);
  const Run over = requests(get(limits::http_url_max_bytes + 1) + " HTTP/1.1\r\nHost: a\r\n\r\n");
  CHECK(over.refused == "414 the target is longer than its limit");
  CHECK(over.reason == Reason::head_too_large);
  CHECK(requests(get(2 * limits::http_url_max_bytes)).refused == over.refused);
}

TEST_CASE("a method longer than its limit is 501") {
  const std::string method(limits::http_method_max_bytes, 'M');
  CHECK(requests(method + " / HTTP/1.1\r\nHost: a\r\n\r\n").messages.at(0).head.method == method);
  CHECK(requests(method + "M / HTTP/1.1\r\nHost: a\r\n\r\n").refused ==
        "501 the method is longer than its limit");
  CHECK(requests(std::string(10000, 'M')).refused == "501 the method is longer than its limit");
}

TEST_CASE("versions other than 1.0 and 1.1 are refused with 505 and none at all with 400") {
  for (const char* version : {"HTTP/0.9", "HTTP/1.2", "HTTP/2.0", "HTTP/3.0"})
    refused("GET / "s + version + "\r\nHost: a\r\n\r\n", "505 a version other than HTTP/1.0 and HTTP/1.1");
  refused("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "505 a version other than HTTP/1.0 and HTTP/1.1");
  refused("PRI / HTTP/1.1\r\nHost: a\r\n\r\n", "400 the method of HTTP/2's preface");
  for (const char* version :
       {"HTTP/1", "HTTP/1.", "http/1.1", "HTTP/11", "HTTP/1.11", "HTTP/1.1 ", "RTSP/1.0", "ICE/1.0", ""})
    refused("GET / "s + version + "\r\nHost: a\r\n\r\n",
            "400 the start line has no version where it must stand");
  refused("GET /\r\n", "400 a request without a version, as in HTTP/0.9");
  CHECK(responses("HTTP/2.0 200 OK\r\n\r\n").refused.starts_with("502 a version"));
  CHECK(responses("HTTP/0.9 200 OK\r\n\r\n").refused.starts_with("502 a version"));
  CHECK(responses("ICY 200 OK\r\n\r\n").refused.starts_with("502 the start line"));
}

TEST_CASE("a request line that is not three parts between single spaces is refused") {
  refused("GET\r\n", "400 a request line of one part");
  refused(" GET / HTTP/1.1\r\n", "400 the method is not a token");
  refused("G(T / HTTP/1.1\r\n", "400 the method is not a token");
  refused("GET  / HTTP/1.1\r\n", "400 two spaces in a row in the request line");
  refused("GET\t/ HTTP/1.1\r\n", "400 the method is not a token");
  refused("GET /a b HTTP/1.1\r\n", "400 the start line has no version where it must stand");
  refused("GET /a\tb HTTP/1.1\r\n", "400 a target that is not visible ASCII");
  refused("GET /\xc3\xa9 HTTP/1.1\r\n", "400 a target that is not visible ASCII");
}

TEST_CASE("a status line is a version, three digits from 100 and perhaps a phrase") {
  for (const char* line :
       {"HTTP/1.1", "HTTP/1.1 ", "HTTP/1.1  200 OK", "HTTP/1.1 20", "HTTP/1.1 2000", "HTTP/1.1 20x OK",
        "HTTP/1.1 -20 OK", "HTTP/1.1 099 OK", "HTTP/1.1\t200 OK", "HTTP/1.1 200\tOK", "", "200 OK"}) {
    INFO(line);
    CHECK(responses(std::string(line) + "\r\nContent-Length: 0\r\n\r\n").refused.starts_with("502 "));
  }
  for (const char* line :
       {"HTTP/1.1 200 OK", "HTTP/1.1 200 ", "HTTP/1.1 200", "HTTP/1.1 200 \xe9\t;-) fine"}) {
    INFO(line);
    CHECK(responses(std::string(line) + "\r\nContent-Length: 0\r\n\r\n").text() ==
          "200 length=0\nend\nreusable\n");
  }
  CHECK(responses("HTTP/1.1 999 Own\r\nContent-Length: 0\r\n\r\n").messages.at(0).head.status == 999);
}

TEST_CASE("one empty line before a request is skipped and a second is refused") {
  CHECK(requests("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n").text() == "GET a /\nend\nreusable\n");
  refused("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "400 an empty start line");
  CHECK(responses("\r\nHTTP/1.1 200 OK\r\n\r\n").refused == "502 an empty start line");
  Driver driver(Decoder::Role::requests);
  driver.give("\r\n");
  CHECK_FALSE(driver.decoder().begun());
  driver.fin();
  CHECK(driver.run().refused.empty());
}

}  // namespace weir::http::h1::test

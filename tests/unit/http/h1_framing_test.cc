// Where a body ends, rule by rule (RFC 9112 section 6, http.md "Framing").
#include <catch2/catch.hpp>

#include "nodeproxy/base/limits.h"
#include "tests/unit/http/h1_transcript.h"

namespace weir::http::h1::test {
namespace {

std::string post(std::string_view fields, std::string_view body = "") {
  return "POST /x HTTP/1.1\r\nHost: a\r\n" + std::string(fields) + "\r\n" + std::string(body);
}
std::string ok(std::string_view fields, std::string_view body = "") {
  return "HTTP/1.1 200 OK\r\n" + std::string(fields) + "\r\n" + std::string(body);
}
std::string chunked(std::string_view body) { return post("Transfer-Encoding: chunked\r\n", body); }

void refused(const std::string& request) {
  INFO(request);
  const Run got = requests(request);
  CHECK_FALSE(got.refused.empty());
  CHECK(got.refused.starts_with("400 "));
  CHECK(got.reason == Reason::bad_request);
}
void refused_response(const std::string& response) {
  INFO(response);
  const Run got = responses(response);
  CHECK(got.refused.starts_with("502 "));
  CHECK(got.reason == Reason::bad_response);
}

}  // namespace

TEST_CASE("a body is as long as its Content-Length and what follows is the next request") {
  const Run got = requests(post("Content-Length: 5\r\n", "hello") + post("Content-Length: 0\r\n") + post(""));
  CHECK(got.text() ==
        "POST a /x length=5\n[hello]\nend\nPOST a /x length=0\nend\nPOST a /x\nend\nreusable\n");
}

TEST_CASE("both Content-Length and Transfer-Encoding are refused in either order") {
  refused(post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"));
  refused(post("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n"));
  refused(post("Transfer-Encoding: chunked\r\nContent-Length: 0\r\n", "0\r\n\r\n"));
  refused_response(ok("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"));
}

TEST_CASE("a repeated Content-Length is refused whether it differs or not") {
  refused(post("Content-Length: 5\r\nContent-Length: 6\r\n", "hello"));
  refused(post("Content-Length: 5\r\nContent-Length: 5\r\n", "hello"));
  refused(post("Content-Length: 5, 5\r\n", "hello"));
  refused_response(ok("Content-Length: 5\r\nContent-Length: 5\r\n", "hello"));
}

TEST_CASE("a Content-Length that is not digits below 2^63 is refused") {
  for (const char* length : {"", "+5", "-5", "0x5", "5a", "5 5", "5.0", "5;", "\"5\"", "\xb5", "5\t",
                             "9223372036854775808", "18446744073709551616", "99999999999999999999999"}) {
    refused(post("Content-Length: " + std::string(length) + "\r\n", "hello"));
    refused_response(ok("Content-Length: " + std::string(length) + "\r\n", "hello"));
  }
  CHECK(requests(post("Content-Length: 9223372036854775807\r\n")).messages.at(0).head.content_length ==
        9223372036854775807u);
  CHECK(requests(post("Content-Length:   0005  \r\n", "hello")).messages.at(0).head.content_length == 5u);
}

TEST_CASE("a Transfer-Encoding that is not exactly one final chunked is refused") {
  for (const char* coding :
       {"", "gzip", "identity", "gzip, chunked", "chunked, gzip", "chunked, chunked", "chunked,", ", chunked",
        "xchunked", "chunked;q=1", "\"chunked\"", "chunked identity", "\vchunked"}) {
    refused(post("Transfer-Encoding: " + std::string(coding) + "\r\n", "0\r\n\r\n"));
    refused_response(ok("Transfer-Encoding: " + std::string(coding) + "\r\n", "0\r\n\r\n"));
  }
  refused(post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"));
  refused(post("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"));
  CHECK(requests(post("tRANSFER-eNCODING: \tChunKed \r\n", "0\r\n\r\n")).text() ==
        "POST a /x\nend\nreusable\n");
}

TEST_CASE("Transfer-Encoding in HTTP/1.0 is refused") {
  refused("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
  refused_response("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
}

TEST_CASE("framing is judged without llhttp's help") {
  using Fields = std::vector<std::pair<const char*, const char*>>;
  const auto rule = [](const Fields& fields) {
    Head head;
    HeadBuilder builder(head);
    builder.reset(true);
    builder.field("Host", "a");
    for (const auto& [name, value] : fields) builder.field(name, value);
    const Refusal refusal = builder.finish_request("/");
    return std::string(refusal ? refusal.rule : "");
  };
  CHECK(rule({{"Content-Length", "5"}}) == "");
  CHECK(rule({{"Transfer-Encoding", "chunked"}}) == "");
  CHECK(rule({{"Content-Length", "5"}, {"Transfer-Encoding", "chunked"}}) ==
        "Content-Length and Transfer-Encoding in one message");
  CHECK(rule({{"Content-Length", "5"}, {"Content-Length", "5"}}) == "Content-Length is repeated");
  CHECK(rule({{"Content-Length", "5,5"}}) == "Content-Length is not a number below 2^63");
  CHECK(rule({{"Transfer-Encoding", "chunked"}, {"Transfer-Encoding", "chunked"}}) ==
        "Transfer-Encoding is not one chunked");
  CHECK(rule({{"Transfer-Encoding", "gzip, chunked"}}) == "Transfer-Encoding is not one chunked");
}

TEST_CASE("chunks become one body and their extensions are dropped") {
  CHECK(
      requests(chunked("5\r\nhello\r\n1;a=b;c=\"d e\"\r\n \r\n0005;x\r\nworld\r\n00;last\r\n\r\n")).text() ==
      "POST a /x\n[hello world]\nend\nreusable\n");
}

TEST_CASE("a chunk size that is not bare hex of bounded length is refused") {
  for (const char* line : {"", " 5", "5 ", "5\t", "0x5", "+5", "-5", "5,5", "g", ";a", "00000000000000005",
                           "8000000000000000", "ffffffffffffffff", "fffffffffffffffff", "5 ;a"}) {
    refused(chunked(std::string(line) + "\r\nhello\r\n0\r\n\r\n"));
  }
}

TEST_CASE("a chunk that is longer than its size or without its CRLF is refused") {
  refused(chunked("5\r\nhello!\r\n0\r\n\r\n"));
  refused(chunked("5\r\nhello0\r\n\r\n"));
  refused(chunked("5\r\nhello!\n0\r\n\r\n"));
  refused(chunked("5\r\nhello\n0\r\n\r\n"));
  refused(chunked("5\r\nhello\r0\r\n\r\n"));
  refused(chunked("5\nhello\r\n0\r\n\r\n"));
  refused(chunked("5\rhello\r\n0\r\n\r\n"));
}

TEST_CASE("a bare CR, LF, NUL or control in a chunk extension is refused") {
  for (const char bad : {'\n', '\r', '\0', '\x01', '\x7f'})
    refused(chunked(std::string("5;a") + bad + "b\r\nhello\r\n0\r\n\r\n"));
}

TEST_CASE("chunk extensions are bounded in one chunk and over all of them") {
  const std::string full = "1;" + std::string(limits::http_chunk_extensions_max_bytes - 1, 'e') + "\r\nx\r\n";
  CHECK(requests(chunked(full + "0\r\n\r\n")).refused.empty());
  refused(chunked("1;" + std::string(limits::http_chunk_extensions_max_bytes, 'e') + "\r\nx\r\n0\r\n\r\n"));
  std::string many;
  for (size_t n = 0; n <= limits::http_chunk_overhead_max_bytes; n += limits::http_chunk_extensions_max_bytes)
    many += full;
  refused(chunked(many + full));
  // The same bytes of extensions over enough data are nobody's attack.
  const std::string data(1024, 'd');
  std::string fair;
  for (int i = 0; i < 64; ++i) fair += "400;" + std::string(600, 'e') + "\r\n" + data + "\r\n";
  CHECK(requests(chunked(fair + "0\r\n\r\n")).messages.at(0).ended);
}

TEST_CASE("trailers stay trailers and those that route or authenticate are dropped") {
  CHECK(requests(chunked("2\r\nhi\r\n0\r\nX-Sum:  1 \r\nHost: evil\r\nAuthorization: x\r\n"
                         "Connection: close\r\ngrpc-status: 0\r\n\r\n"))
            .text() == "POST a /x\n[hi]\nend\n  X-Sum: 1\n  grpc-status: 0\nreusable\n");
  CHECK(responses(ok("Transfer-Encoding: chunked\r\n", "0\r\nA: b\r\n\r\n")).text() ==
        "200\nend\n  A: b\nreusable\n");
}

TEST_CASE("a field of framing among the trailers is refused") {
  refused(chunked("0\r\nContent-Length: 3\r\n\r\n"));
  refused(chunked("0\r\nTransfer-Encoding: chunked\r\n\r\n"));
  refused_response(ok("Transfer-Encoding: chunked\r\n", "0\r\ncontent-length: 3\r\n\r\n"));
}

TEST_CASE("trailer lines keep the rules of field lines") {
  for (const char* lines : {"A : b\r\n", ": b\r\n", "A: b\r\n c\r\n", " A: b\r\n", "A\r\n", "A: b\n",
                            "A: b\rC: d\r\n", "A(: b\r\n", "A: \x01\r\n"})
    refused(chunked("0\r\n" + std::string(lines) + "\r\n"));
  refused(chunked("0\r\n\n"));
  refused(chunked("0\r\n\rX"));
  std::string many = "0\r\n";
  for (uint32_t i = 0; i <= limits::http_fields_max; ++i) many += "A: b\r\n";
  const Run got = requests(chunked(many + "\r\n"));
  CHECK(got.refused.starts_with("431 "));
  CHECK(got.reason == Reason::head_too_large);
}

TEST_CASE("a message of the last chain of trailers does not leak into the next one") {
  const Run got = requests(chunked("0\r\nA: b\r\n\r\n") + chunked("0\r\n\r\n"));
  REQUIRE(got.messages.size() == 2);
  CHECK(got.messages[0].trailers.size() == 1);
  CHECK(got.messages[1].trailers.empty());
}

TEST_CASE("an answer to HEAD, a 204, a 304 and a 1xx have no body whatever they claim") {
  for (const char* claim : {"Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n", ""}) {
    const std::string next = ok("Content-Length: 2\r\n", "ok");
    const auto bodies = [&](std::string_view status, std::string_view method) {
      const Run got = responses("HTTP/1.1 " + std::string(status) + " X\r\n" + claim + "\r\n" + next,
                                {asking(method), asking("GET")});
      INFO(status << " " << claim << got.text());
      REQUIRE(got.messages.size() == 2);
      CHECK(got.messages[0].body.empty());
      CHECK(got.messages[1].body == "ok");
      return got.messages[0].head.content_length;
    };
    const std::optional<uint64_t> said = *claim == 'C' ? std::optional<uint64_t>(5) : std::nullopt;
    CHECK(bodies("200", "HEAD") == said);  // the length a GET would have got is forwarded
    CHECK(bodies("304", "GET") == said);
    CHECK(bodies("204", "GET") == std::nullopt);
    CHECK(bodies("103", "GET") == std::nullopt);
    CHECK(bodies("199", "GET") == std::nullopt);
  }
}

TEST_CASE("llhttp alone gives a 304 a body and the decoder does not") {
  llhttp_settings_t settings;
  llhttp_settings_init(&settings);
  static int body_bytes;
  body_bytes = 0;
  settings.on_body = [](llhttp_t*, const char*, size_t size) {
    body_bytes += static_cast<int>(size);
    return 0;
  };
  llhttp_t parser;
  llhttp_init(&parser, HTTP_RESPONSE, &settings);
  const std::string text = "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\nHTTP/1.1 200 OK\r\n\r\n";
  llhttp_execute(&parser, text.data(), text.size());
  CHECK(body_bytes == 5);
  CHECK(responses(text).messages.size() == 2);
}

TEST_CASE("a close-delimited response ends at FIN and its connection with it") {
  Driver driver(Decoder::Role::responses);
  driver.give(ok("", "some"));
  driver.give(" bytes");
  CHECK(driver.run().begun);
  CHECK_FALSE(driver.run().keep_alive);
  driver.fin();
  CHECK(driver.run().text() == "200\n[some bytes]\nend\nclosed\n");
}

TEST_CASE("a FIN inside a message is an error and between messages it is none") {
  const std::string text = post("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\nA: b\r\n\r\n");
  for (size_t cut = 0; cut <= text.size(); ++cut) {
    Driver driver(Decoder::Role::requests);
    driver.give(text.substr(0, cut));
    driver.fin();
    INFO(cut);
    const bool between = cut == 0 || cut == text.size();
    CHECK(driver.run().refused.empty() == between);
    CHECK((driver.run().reason == Reason::bad_request) == !between);
  }
  Driver driver(Decoder::Role::responses);
  driver.give(ok("Content-Length: 5\r\n", "hell"));
  driver.fin();
  CHECK(driver.run().refused.starts_with("502 "));
  Driver silent(Decoder::Role::responses);
  silent.decoder().expect_response_to(asking("GET"));
  CHECK_FALSE(silent.decoder().begun());  // a stale pooled connection: the caller may try again
  silent.fin();
  CHECK(silent.run().refused.empty());
}

}  // namespace weir::http::h1::test

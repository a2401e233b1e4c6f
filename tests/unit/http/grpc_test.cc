// The few words of gRPC: statuses, time-outs, answers of our own; and Retry-After.
#include "nodeproxy/http/grpc.h"

#include <catch2/catch.hpp>

namespace weir::http {
namespace {

using namespace std::chrono_literals;

Headers with(std::string_view name, std::string_view value) {
  Headers headers;
  headers.add(name, value);
  return headers;
}
std::optional<std::chrono::nanoseconds> timeout(std::string_view value) {
  return grpc_timeout(with("grpc-timeout", value));
}
std::string said(std::chrono::nanoseconds left) {
  Headers headers;
  set_grpc_timeout(headers, left);
  return std::string(headers.get("grpc-timeout").value_or(""));
}

TEST_CASE("grpc-status is a number, or nothing is known") {
  CHECK(grpc_status(with("grpc-status", "0")) == 0);
  CHECK(grpc_status(with("grpc-status", "14")) == 14);
  CHECK(!grpc_status({}));
  for (const char* bad : {"", "-1", "1 ", "x", "65536", "99999999999999999999"})
    CHECK(!grpc_status(with("grpc-status", bad)));
}

TEST_CASE("grpc-timeout is read in each of its units") {
  CHECK(timeout("1H") == 1h);
  CHECK(timeout("2M") == 2min);
  CHECK(timeout("3S") == 3s);
  CHECK(timeout("4m") == 4ms);
  CHECK(timeout("5u") == 5us);
  CHECK(timeout("6n") == 6ns);
}

TEST_CASE("a malformed grpc-timeout is none") {
  for (const char* bad : {"", "S", "1", "1s", "1h", "-1S", "1 S", "123456789S"}) {
    INFO(bad);
    CHECK(!timeout(bad));
  }
  CHECK(!grpc_timeout({}));
}

TEST_CASE("the longest grpc-timeout still fits a clock") {
  const auto longest = timeout("99999999H");
  REQUIRE(longest);
  CHECK(*longest > 24h);
  CHECK(*longest <= 366 * 24h);
}

TEST_CASE("what is left of a deadline is said in eight digits at most, and never as more than it is") {
  CHECK(said(1500us) == "1500u");
  CHECK(said(99s) == "99000000u");
  CHECK(said(100s) == "100000m");
  CHECK(said(48h) == "172800S");
  CHECK(said(999ns) == "1u");
  CHECK(said(-5s) == "1u");
  for (const auto left : {1500us, 123456789us, 4'000'000'000'123us}) {
    const auto read = timeout(said(left));
    REQUIRE(read);
    CHECK(*read <= left);
    CHECK(*read > left - 1s);
  }
}

TEST_CASE("an answer in gRPC's terms is 200 with the status where trailers would be") {
  Head head;
  head.status = 503;
  head.content_length = 7;
  grpc_answer(head, 14, "no_endpoint");
  CHECK(head.status == 200);
  CHECK(!head.content_length);
  CHECK(head.headers.get("content-type") == "application/grpc");
  CHECK(grpc_status(head.headers) == 14);
  CHECK(head.headers.get("grpc-message") == "no_endpoint");
}

TEST_CASE("Retry-After counts in seconds, at most a minute") {
  CHECK(retry_after(with("retry-after", "2")) == 2s);
  CHECK(retry_after(with("retry-after", "86400")) == 60s);
  CHECK(retry_after(with("retry-after", "Wed, 21 Oct 2015 07:28:00 GMT")) == 0s);
  CHECK(retry_after({}) == 0s);
}

}  // namespace
}  // namespace weir::http

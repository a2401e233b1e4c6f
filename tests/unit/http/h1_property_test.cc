// Properties of the codec: the cut of the bytes does not matter, and what was taken can be written and taken again.
#include <catch2/catch.hpp>
#include <cstdlib>
#include <random>

#include "nodeproxy/base/limits.h"
#include "tests/unit/http/h1_corpus.h"
#include "tests/unit/http/h1_round_trip.h"
#include "tests/unit/http/h1_transcript.h"

namespace weir::http::h1::test {
namespace {

using namespace std::string_view_literals;
using Role = Decoder::Role;

std::vector<Head> asked() {
  return {asking("GET"), asking("HEAD"), asking("GET", "websocket"), asking("CONNECT")};
}
std::string cut_at(Role role, const std::string& text, size_t cut, bool stay) {
  Driver driver(role, asked(), stay);
  driver.give(text.substr(0, cut));
  driver.give(text.substr(cut));
  driver.fin();
  return driver.run().text();
}
std::string in_steps(Role role, const std::string& text, size_t step, bool stay) {
  Driver driver(role, asked(), stay);
  run(driver, text, [step] { return step; });
  driver.fin();
  return driver.run().text();
}

uint32_t new_seed() {
  const char* fixed = std::getenv("WEIR_SEED");
  return fixed ? static_cast<uint32_t>(std::strtoul(fixed, nullptr, 10)) : std::random_device()();
}

}  // namespace

TEST_CASE("however a connection's bytes are cut the events are the same") {
  for (const Role role : {Role::requests, Role::responses}) {
    for (const std::string& text : role == Role::requests ? request_corpus() : response_corpus()) {
      for (const bool stay : {false, true}) {
        const std::string whole = in_steps(role, text, text.size(), stay);
        INFO(text << "\n" << whole);
        for (size_t cut = 0; cut <= text.size(); ++cut) {
          INFO(cut);
          if (cut_at(role, text, cut, stay) != whole) CHECK(cut_at(role, text, cut, stay) == whole);
        }
        for (const size_t step : {1, 2, 3, 7}) CHECK(in_steps(role, text, step, stay) == whole);
      }
    }
  }
}

TEST_CASE("limits are found at the same byte however the bytes are cut") {
  const std::string url(limits::http_url_max_bytes, 'u'), head(limits::http_head_max_bytes, 'h');
  for (const std::string& text :
       {"GET /" + url + " HTTP/1.1\r\nHost: a\r\n\r\n", "GET /" + url + "\n", "GET " + url, url,
        "\r\n" + url + " ", "GET / HTTP/1.1\r\nHost: a\r\nX: " + head + "\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: " + head + "\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: " + head.substr(28) + "\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: " + head.substr(29) + "\rX",
        "GET / HTTP/1.1\r\nHost: a\r\nX: " + head.substr(28) + "\nX"}) {
    const std::string whole = in_steps(Role::requests, text, text.size(), false);
    for (const size_t step : {1, 5, 4096, 8192}) CHECK(in_steps(Role::requests, text, step, false) == whole);
  }
}

TEST_CASE("random bytes around clean messages give the same events however they are cut") {
  const uint32_t seed = new_seed();
  INFO("seed " << seed << " (WEIR_SEED repeats it)");
  std::mt19937 random(seed);
  for (int round = 0; round < 3000; ++round) {
    const Role role = random() % 2 ? Role::requests : Role::responses;
    const auto& corpus = role == Role::requests ? request_corpus() : response_corpus();
    std::string text = corpus[random() % corpus.size()];
    for (uint32_t changes = random() % 4; changes > 0; --changes) {
      static constexpr std::string_view kChars = "\r\n\0\t :;,0a/#A\x7f\xff[]"sv;
      const char c = kChars[random() % kChars.size()];
      const size_t at = random() % text.size();
      random() % 2 ? (void)text.insert(at, 1, c) : (void)(text[at] = c);
    }
    const bool stay = random() % 2;
    const std::string whole = in_steps(role, text, text.size(), stay);
    INFO(text);
    if (in_steps(role, text, 1, stay) != whole) CHECK(in_steps(role, text, 1, stay) == whole);
    Driver driver(role, asked(), stay);
    run(driver, text, [&random] { return random() % 9; });
    driver.fin();
    if (driver.run().text() != whole) CHECK(driver.run().text() == whole);
  }
}

TEST_CASE("what was decoded is decoded again as the same when it has been encoded") {
  for (const std::string& text : request_corpus()) CHECK(round_trip_requests(text) == "");
  for (const std::string& text : response_corpus()) CHECK(round_trip_responses(text, asked()) == "");
}

TEST_CASE("random messages come back from the decoder as the encoder was given them") {
  const uint32_t seed = new_seed();
  INFO("seed " << seed << " (WEIR_SEED repeats it)");
  std::mt19937 random(seed);
  for (int round = 0; round < 3000; ++round) {
    Message made = random_message(random, random() % 2);
    const auto written = encode(made, asking("GET"), random() % 2);
    REQUIRE(written);
    Driver driver(made.head.is_request() ? Role::requests : Role::responses,
                  {asking("GET", made.head.upgrade)});
    run(driver, *written, [&random] { return 1 + random() % 200; });
    INFO(*written);
    REQUIRE(driver.run().refused.empty());
    REQUIRE(driver.run().messages.size() == 1);
    Message& back = driver.run().messages[0];
    if (!made.head.content_length) back.head.content_length.reset();  // the encoder was told that it is whole
    const std::string sent = describe(made, true), got = describe(back, true);
    if (got != sent) CHECK(got == sent);
  }
}

}  // namespace weir::http::h1::test

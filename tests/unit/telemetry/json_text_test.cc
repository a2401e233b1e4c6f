// What strangers' bytes become in a log line.
#include "nodeproxy/telemetry/json_text.h"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>
#include <random>

namespace weir::telemetry {
namespace {

std::string as_json(std::string_view text) {
  std::string out;
  append_json_string(out, text);
  return out;
}

std::string address(std::string_view text) {
  std::string out;
  append_address(out, SocketAddress::parse(text).value());
  return out;
}

std::string millis(std::chrono::nanoseconds duration) {
  std::string out;
  append_millis_field(out, "ms", duration);
  return out;
}

TEST_CASE("plain text and good UTF-8 pass as they are") {
  CHECK(as_json("") == "\"\"");
  CHECK(as_json("/a/b?c=d") == "\"/a/b?c=d\"");
  CHECK(as_json("gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80") ==
        "\"gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80\"");
}

TEST_CASE("quotes, backslashes and all control characters are escaped, so that no line moves a terminal") {
  CHECK(as_json("a\"b\\c\n\x1b[2J\x7f") == R"("a\"b\\c\u000a\u001b[2J\u007f")");
  CHECK(as_json("\xc2\x9b"
                "2J") == R"("\u009b2J")");
  CHECK(as_json(std::string_view("\0x", 2)) == R"("\u0000x")");
}

TEST_CASE("bytes that are no UTF-8 become the replacement character, one each") {
  const std::string bad = "\xef\xbf\xbd";
  CHECK(as_json("\xff") == "\"" + bad + "\"");
  CHECK(as_json("\xc3") == "\"" + bad + "\"");                                // cut short
  CHECK(as_json("\xc0\xaf") == "\"" + bad + bad + "\"");                      // not the shortest form
  CHECK(as_json("\xe0\x80\xaf") == "\"" + bad + bad + bad + "\"");            // likewise
  CHECK(as_json("\xed\xa0\x80") == "\"" + bad + bad + bad + "\"");            // a surrogate
  CHECK(as_json("\xf4\x90\x80\x80") == "\"" + bad + bad + bad + bad + "\"");  // above U+10FFFF
  CHECK(as_json("\xc3(") == "\"" + bad + "(\"");
}

TEST_CASE("whatever the bytes, what comes out is JSON without control characters") {
  const auto seed = std::random_device{}();
  INFO("seed " << seed);
  std::mt19937 random(seed);
  for (int round = 0; round < 20'000; ++round) {
    std::string bytes(random() % 12, '\0');
    // Half of the bytes are such as begin or continue UTF-8, so that near misses are common.
    for (char& c : bytes) c = static_cast<char>(random() % 2 ? random() : 0x80 | (random() & 0x7f));
    const std::string text = as_json(bytes);
    REQUIRE_NOTHROW(nlohmann::json::parse(text));
    for (const char c : text) REQUIRE((static_cast<unsigned char>(c) >= 0x20 && c != 0x7f));
  }
}

TEST_CASE("addresses are written as they are read") {
  for (const char* text :
       {"0.0.0.0:0", "10.0.0.1:80", "255.255.255.255:65535", "9.99.100.200:7", "[fd00::1]:443"})
    CHECK(address(text) == text);
}

TEST_CASE("IPv6 addresses are written as inet_ntop writes them, wherever their zeros are") {
  const auto seed = std::random_device{}();
  INFO("seed " << seed);
  std::mt19937 random(seed);
  for (int round = 0; round < 50'000; ++round) {
    in6_addr bytes{};
    const uint32_t set = random();  // which groups are not zero
    for (size_t i = 0; i < 8; ++i) {
      if (set & (1U << i)) bytes.s6_addr[2 * i] = static_cast<uint8_t>(random() & random() >> 8);
      if (set & (1U << i)) bytes.s6_addr[2 * i + 1] = static_cast<uint8_t>(random());
    }
    const SocketAddress whole{Ip::from_v6(bytes), static_cast<uint16_t>(random())};
    std::string out;
    append_address(out, whole);
    REQUIRE(out == whole.to_string());
  }
}

TEST_CASE("milliseconds have three digits behind the point, rounded") {
  CHECK(millis(std::chrono::microseconds(12'345)) == ",\"ms\":12.345");
  CHECK(millis(std::chrono::nanoseconds(1'499)) == ",\"ms\":0.001");
  CHECK(millis(std::chrono::nanoseconds(999'999'500)) == ",\"ms\":1000.000");
  CHECK(millis(std::chrono::nanoseconds(-1)) == ",\"ms\":0.000");
}

TEST_CASE("the clock of lines tells the time of each line, whichever second it wrote before") {
  LineClock clock;
  const auto at = [&](int64_t millis) {
    std::string out;
    clock.append_to(out, std::chrono::system_clock::time_point(std::chrono::milliseconds(millis)));
    return out;
  };
  CHECK(at(1'764'094'997'007) == "2025-11-25T18:23:17.007Z");
  CHECK(at(1'764'094'997'999) == "2025-11-25T18:23:17.999Z");
  CHECK(at(1'764'094'998'000) == "2025-11-25T18:23:18.000Z");
  CHECK(at(951'827'696'100) == "2000-02-29T12:34:56.100Z");
}

}  // namespace
}  // namespace weir::telemetry

// Whose first bytes: every cut of real ClientHellos, split over records, long ones, garbage.
#include "nodeproxy/detect/client_hello.h"

#include <catch2/catch.hpp>
#include <random>
#include <string>

namespace weir::detect {
namespace {

using namespace std::string_literals;

std::string be(size_t value, int bytes) {
  std::string text;
  for (int i = bytes - 1; i >= 0; --i) text += static_cast<char>(value >> (8 * i));
  return text;
}
std::string vec(int length_bytes, const std::string& body) { return be(body.size(), length_bytes) + body; }
std::string extension(size_t type, const std::string& value) { return be(type, 2) + vec(2, value); }
std::string alpn(const std::vector<std::string>& names) {
  std::string list;
  for (const std::string& name : names) list += vec(1, name);
  return extension(16, vec(2, list));
}
// The handshake message.
std::string hello(const std::string& extensions, bool with_extensions = true) {
  const std::string body = "\x03\x03"s + std::string(32, 'r') + vec(1, std::string(32, 's')) +
                           vec(2, "\x13\x01"s) + vec(1, "\0"s) + (with_extensions ? vec(2, extensions) : "");
  return "\1"s + vec(3, body);
}
std::string records(const std::string& message, size_t record_bytes = 16384) {
  std::string out;
  for (size_t at = 0; at < message.size(); at += record_bytes)
    out += "\x16\x03\x01"s + vec(2, message.substr(at, record_bytes));
  return out;
}
Sniff sniff_all(const std::string& text) { return sniff(std::as_bytes(std::span(text))); }

const std::string kSni = extension(0, vec(2, "\0"s + vec(2, "cart.shop"s)));

}  // namespace

TEST_CASE("a ClientHello is ours when it offers an ALPN of ours") {
  CHECK(sniff_all(records(hello(kSni + alpn({"weir/1"})))) == Sniff::tls_weir);
  CHECK(sniff_all(records(hello(alpn({"h2", "http/1.1", "weir/h2"}) + kSni))) == Sniff::tls_weir);
  CHECK(sniff_all(records(hello(kSni + alpn({"h2", "http/1.1"})))) == Sniff::tls_foreign);
  CHECK(sniff_all(records(hello(kSni + alpn({"weir", "weir/", "xweir/1"})))) == Sniff::tls_foreign);
  CHECK(sniff_all(records(hello(kSni))) == Sniff::tls_foreign);
  CHECK(sniff_all(records(hello(""))) == Sniff::tls_foreign);
  CHECK(sniff_all(records(hello("", false))) == Sniff::tls_foreign);
  CHECK(sniff_all(records(hello(alpn({"weir/1"}))) + "bytes behind it") == Sniff::tls_weir);
}

TEST_CASE("plaintext is told by its first bytes") {
  for (const std::string& text : {"GET / HTTP/1.1\r\n"s, "\0"s, "\x17\x03\x03"s, "\x16\x02"s, "\x16GET"s,
                                  "SSH-2.0-x\r\n"s, "\x16\x03\x01\x00\x10\x02"s /* a ServerHello */}) {
    CAPTURE(text);
    CHECK(sniff_all(text) == Sniff::not_tls);
  }
  CHECK(sniff_all("") == Sniff::need_more);
  CHECK(sniff_all("\x16") == Sniff::need_more);
}

TEST_CASE("every prefix needs more, byte by byte, in records of any size") {
  const size_t record = GENERATE(1, 2, 3, 4, 5, 17, 100, 16384);
  const auto [bytes, answer] = GENERATE(table<std::string, Sniff>(
      {{hello(kSni + alpn({"weir/1"})), Sniff::tls_weir}, {hello(kSni + alpn({"h2"})), Sniff::tls_foreign}}));
  const std::string wire = records(bytes, record);
  ClientHelloSniffer sniffer;
  for (size_t n = 0; n < wire.size(); ++n)
    REQUIRE(sniffer.sniff(std::as_bytes(std::span(wire).first(n))) == Sniff::need_more);
  CHECK(sniffer.sniff(std::as_bytes(std::span(wire))) == answer);
  CHECK(sniffer.sniff(std::as_bytes(std::span(wire))) == answer);  // final
  CHECK(sniff_all(wire) == answer);
}

TEST_CASE("any cut gives the same answer") {
  const unsigned seed = GENERATE(take(200, random(1u, 1u << 30)));
  INFO("seed " << seed);
  std::mt19937 random(seed);
  std::string wire =
      records(hello(kSni + extension(51, std::string(random() % 3000, 'k')) + alpn({"h2", "weir/1"})),
              random() % 400 + 1);
  for (unsigned damage = random() % 3; damage > 0; --damage)  // sometimes broken: then too
    wire[random() % wire.size()] = static_cast<char>(random());
  ClientHelloSniffer sniffer;
  Sniff cut = Sniff::need_more;
  for (size_t n = 0; n < wire.size();) {
    n = std::min<size_t>(wire.size(), n + random() % 50 + 1);
    cut = sniffer.sniff(std::as_bytes(std::span(wire).first(n)));
  }
  CHECK(cut == sniff_all(wire));
}

TEST_CASE("64 KiB is the longest ClientHello") {
  const auto of_size = [](size_t size) {
    const size_t base = hello(alpn({"weir/1"}) + extension(21, "")).size();
    return hello(alpn({"weir/1"}) + extension(21, std::string(size - base, 'p')));
  };
  CHECK(of_size(65536).size() == 65536);
  CHECK(sniff_all(records(of_size(65536))) == Sniff::tls_weir);
  CHECK(sniff_all(records(of_size(65536), 1)) == Sniff::tls_weir);
  const std::string longer = "\1"s + be(65533, 3);  // four of header more than the limit
  CHECK(sniff_all(records(longer)) == Sniff::malformed);
}

TEST_CASE("broken framing and broken fields are malformed") {
  const std::string good = hello(kSni + alpn({"weir/1"}));
  CHECK(sniff_all("\x16\x03\x01\x00\x00"s) == Sniff::malformed);  // an empty record
  CHECK(sniff_all("\x16\x03\x01\x40\x01"s) == Sniff::malformed);  // longer than a record can be
  CHECK(sniff_all(records(good.substr(0, 50)) + "\x17\x03\x01"s) ==
        Sniff::malformed);  // another type in between
  CHECK(sniff_all(records(good.substr(0, 50)) + "\x16\x02"s) == Sniff::malformed);
  CHECK(sniff_all(records("\1"s + vec(3, "short"))) == Sniff::malformed);
  CHECK(sniff_all(records(hello(extension(16, "\0\x08\x06weir/1"s)))) ==
        Sniff::malformed);  // list longer than its extension
  CHECK(sniff_all(records(hello(extension(16, "\0\x07\x09weir/1"s)))) ==
        Sniff::malformed);                                                       // name longer than its list
  CHECK(sniff_all(records(hello(kSni + "\0\x10\0\x09"s))) == Sniff::malformed);  // extension cut
  std::string trailing = hello(kSni) + "x";
  trailing[3] = static_cast<char>(trailing[3] + 1);
  CHECK(sniff_all(records(trailing)) == Sniff::malformed);
}

}  // namespace weir::detect

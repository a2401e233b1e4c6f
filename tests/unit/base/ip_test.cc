// Addresses, socket addresses and prefixes: text, wire and sockaddr forms in both families.
#include "nodeproxy/base/ip.h"

#include <catch2/catch.hpp>
#include <random>
#include <unordered_set>

using namespace weir;

namespace {
Ip ip(std::string_view text) {
  const auto parsed = Ip::parse(text);
  REQUIRE(parsed.has_value());
  return *parsed;
}
}  // namespace

TEST_CASE("an address is printed as it was written, and an IPv4 address equals its v4-mapped form") {
  for (const char* text :
       {"10.0.0.1", "0.0.0.0", "255.255.255.255", "::", "::1", "fd00::1", "2001:db8::8:800:200c:417a"}) {
    CHECK(ip(text).to_string() == text);
  }
  CHECK(ip("::ffff:10.1.2.3") == ip("10.1.2.3"));
  CHECK(ip("::ffff:10.1.2.3").is_v4());
  CHECK_FALSE(ip("::10.1.2.3").is_v4());
}

TEST_CASE("what is no address is not parsed") {
  for (const char* text : {"", "10.0.0", "10.0.0.256", "010.0.0.1", "10.0.0.1 ", "10.0.0.1/8", "g::1",
                           "1:2:3:4:5:6:7:8:9", "fe80::1%eth0", "localhost"}) {
    CAPTURE(text);
    CHECK_FALSE(Ip::parse(text).has_value());
  }
}

TEST_CASE("kinds of addresses are known in both families") {
  struct Row {
    const char* text;
    bool unspecified, loopback, link_local;
  };
  for (const Row& row : {Row{"0.0.0.0", true, false, false}, Row{"::", true, false, false},
                         Row{"127.255.0.1", false, true, false}, Row{"::1", false, true, false},
                         Row{"169.254.169.254", false, false, true}, Row{"febf::1", false, false, true},
                         Row{"fec0::1", false, false, false}, Row{"128.0.0.1", false, false, false},
                         Row{"::2", false, false, false}}) {
    CAPTURE(row.text);
    CHECK(ip(row.text).is_unspecified() == row.unspecified);
    CHECK(ip(row.text).is_loopback() == row.loopback);
    CHECK(ip(row.text).is_link_local() == row.link_local);
  }
}

TEST_CASE("any address survives the wire, and other lengths do not parse") {
  const unsigned seed = std::random_device()();
  CAPTURE(seed);
  std::mt19937 random(seed);
  for (int i = 0; i < 1000; ++i) {
    std::string bytes(i % 2 == 0 ? 4 : 16, '\0');
    for (char& byte : bytes) byte = static_cast<char>(random());
    const auto parsed = Ip::from_bytes(bytes);
    REQUIRE(parsed.has_value());
    CHECK(Ip::from_bytes(parsed->to_wire()) == *parsed);
    CHECK(ip(parsed->to_string()) == *parsed);
  }
  for (const size_t length : {0, 1, 3, 5, 15, 17})
    CHECK_FALSE(Ip::from_bytes(std::string(length, 'x')).has_value());
}

TEST_CASE("a socket address goes to a sockaddr of its family, or of IPv6 when asked, and back") {
  for (const char* text : {"10.0.0.1:80", "[fd00::1]:65535", "[::]:0"}) {
    const auto address = SocketAddress::parse(text);
    REQUIRE(address.has_value());
    CHECK(address->to_string() == text);
    for (const bool as_v6 : {false, true}) {
      sockaddr_storage storage;
      const socklen_t length = address->to_sockaddr(storage, as_v6);
      CHECK(storage.ss_family == (address->ip.is_v4() && !as_v6 ? AF_INET : AF_INET6));
      CHECK(SocketAddress::from_sockaddr(reinterpret_cast<sockaddr*>(&storage), length) == *address);
      CHECK_FALSE(
          SocketAddress::from_sockaddr(reinterpret_cast<sockaddr*>(&storage), length - 1).has_value());
    }
  }
  for (const char* text :
       {"10.0.0.1", "10.0.0.1:", "10.0.0.1:65536", "fd00::1:80", "[fd00::1]", ":80", "10.0.0.1:8o", ""}) {
    CAPTURE(text);
    CHECK_FALSE(SocketAddress::parse(text).has_value());
  }
}

TEST_CASE("a prefix contains what it says, across byte borders and families") {
  struct Row {
    const char *prefix, *address;
    bool inside;
  };
  for (const Row& row :
       {Row{"10.0.0.0/8", "10.255.0.1", true}, Row{"10.0.0.0/8", "11.0.0.0", false},
        Row{"10.128.0.0/9", "10.127.255.255", false}, Row{"10.128.0.0/9", "10.128.0.0", true},
        Row{"10.0.0.1", "10.0.0.1", true}, Row{"10.0.0.1", "10.0.0.2", false},
        Row{"10.0.0.1/32", "10.0.0.1", true}, Row{"0.0.0.0/0", "1.2.3.4", true},
        Row{"0.0.0.0/0", "fd00::1", false}, Row{"::/0", "fd00::1", true}, Row{"fd00::/7", "fc00::1", true},
        Row{"fd00::/8", "fc00::1", false}, Row{"fd00::1/128", "fd00::1", true},
        Row{"fd00::1/127", "fd00::", true}}) {
    CAPTURE(row.prefix, row.address);
    const auto prefix = Prefix::parse(row.prefix);
    REQUIRE(prefix.has_value());
    CHECK(prefix->contains(ip(row.address)) == row.inside);
  }
  for (const char* text : {"10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/", "fd00::/129", "/8", "10.0.0.0/8/8"}) {
    CAPTURE(text);
    CHECK_FALSE(Prefix::parse(text).has_value());
  }
  CHECK(Prefix::parse("10.0.0.0/8")->to_string() == "10.0.0.0/8");
  CHECK(Prefix::parse("fd00::/8")->to_string() == "fd00::/8");
}

TEST_CASE("neighbouring addresses do not share a hash") {
  std::unordered_set<size_t> hashes;
  for (int i = 0; i < 256; ++i)
    for (int j = 0; j < 16; ++j)
      hashes.insert(std::hash<Ip>()(ip("10.0." + std::to_string(j) + "." + std::to_string(i))));
  CHECK(hashes.size() == 4096);
}

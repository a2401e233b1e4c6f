// Every SPIFFE ID that mesh-protocol.md refuses, and the few that it takes.
#include "nodeproxy/tls/identity.h"

#include <catch2/catch.hpp>
#include <string>

namespace weir::tls {

TEST_CASE("a SPIFFE ID is cut into its parts") {
  const auto id = SpiffeId::parse("spiffe://cluster.local/ns/shop-1/sa/cart.v2");
  REQUIRE(id);
  CHECK(id->uri() == "spiffe://cluster.local/ns/shop-1/sa/cart.v2");
  CHECK(id->principal() == "cluster.local/ns/shop-1/sa/cart.v2");
  CHECK(id->trust_domain() == "cluster.local");
  CHECK(id->ns() == "shop-1");
  CHECK(id->service_account() == "cart.v2");
}

TEST_CASE("the longest SPIFFE ID is taken and one byte more is refused") {
  const std::string head = "spiffe://td/ns/a/sa/";
  CHECK(SpiffeId::parse(head + std::string(2048 - head.size(), 'x')));
  CHECK_FALSE(SpiffeId::parse(head + std::string(2049 - head.size(), 'x')));
  CHECK(SpiffeId::parse("spiffe://" + std::string(255, 'd') + "/ns/a/sa/b"));
  CHECK_FALSE(SpiffeId::parse("spiffe://" + std::string(256, 'd') + "/ns/a/sa/b"));
}

TEST_CASE("what could be written in two ways, or is not ours, is no SPIFFE ID") {
  using namespace std::string_literals;
  const std::string wrong = GENERATE(
      ""s, "spiffe"s, "spiffe:/"s, "spiffe://"s, "spiffe:///ns/a/sa/b"s, "http://td/ns/a/sa/b"s,
      "SPIFFE://td/ns/a/sa/b"s, "Spiffe://td/ns/a/sa/b"s, "spiffe://TD/ns/a/sa/b"s, "spiffe://td/ns/A/sa/b"s,
      "spiffe://td/ns/a/sa/B"s, "spiffe://td:443/ns/a/sa/b"s, "spiffe://user@td/ns/a/sa/b"s,
      "spiffe://td/ns/a/sa/b?q=1"s, "spiffe://td/ns/a/sa/b#f"s, "spiffe://td/ns/a/sa/%62"s,
      "spiffe://t%64/ns/a/sa/b"s, "spiffe://td/ns/../sa/b"s, "spiffe://td/ns/a/sa/.."s,
      "spiffe://td/ns/./sa/b"s, "spiffe://td/ns/a/sa/."s, "spiffe://../ns/a/sa/b"s, "spiffe://td//ns/a/sa/b"s,
      "spiffe://td/ns//sa/b"s, "spiffe://td/ns/a//sa/b"s, "spiffe://td/ns/a/sa//b"s, "spiffe://td/ns/a/sa/"s,
      "spiffe://td/ns/a/sa/b/"s, "spiffe://td/ns/a/sa/b/c"s, "spiffe://td/ns/a/sa"s, "spiffe://td/ns/a"s,
      "spiffe://td/"s, "spiffe://td"s, "spiffe://td/sa/b/ns/a"s, "spiffe://td/workload/x"s,
      "spiffe://td/ns/a/sa/b\0"s, "spiffe://td/ns/a\0/sa/b"s, "spiffe://td/ns/a/sa/b\n"s,
      " spiffe://td/ns/a/sa/b"s, "spiffe://td/ns/a/sa/b "s, "spiffe://td/ns/a/sa/\xc3\xa9"s,
      "spiffe://td/ns/a/sa/a+b"s, "spiffe://td\\ns\\a\\sa\\b"s);
  CAPTURE(wrong);
  const auto parsed = SpiffeId::parse(wrong);
  REQUIRE_FALSE(parsed);
  CHECK(parsed.error().reason == Reason::certificate_malformed);
}

}  // namespace weir::tls

// The form of identities: mesh-protocol.md "Verification refuses", as a table.
#include "nodeproxy/config/spiffe.h"

#include <catch2/catch.hpp>
#include <string>

using namespace weir::config;

TEST_CASE("identities of the SPIFFE form pass, and nothing else") {
  for (const char* good :
       {"spiffe://cluster.local/ns/shop/sa/web", "spiffe://td/vm", "spiffe://a-b_c.1/x.y/z-0"}) {
    CAPTURE(good);
    CHECK(valid_spiffe_id(good));
  }
  for (const std::string& bad : {std::string(),
                                 std::string("spiffe://"),
                                 std::string("spiffe://td"),
                                 std::string("spiffe://td/"),
                                 std::string("spiffe:///ns/a"),
                                 std::string("https://td/ns/a"),
                                 std::string("SPIFFE://td/ns/a"),
                                 std::string("spiffe://TD/ns/a"),
                                 std::string("spiffe://td/ns/A"),
                                 std::string("spiffe://td:443/ns/a"),
                                 std::string("spiffe://user@td/ns/a"),
                                 std::string("spiffe://td/ns/a?x"),
                                 std::string("spiffe://td/ns/a#x"),
                                 std::string("spiffe://td/ns/%61"),
                                 std::string("spiffe://td/ns/../a"),
                                 std::string("spiffe://td/./a"),
                                 std::string("spiffe://td//a"),
                                 std::string("spiffe://td/ns/a/"),
                                 std::string("spiffe://td/ns/a b"),
                                 std::string("spiffe://td/ns/a\0b", 18),
                                 std::string("spiffe://td/ns/\xc3\xa4"),
                                 "spiffe://td/" + std::string(2048, 'a'),
                                 "spiffe://" + std::string(256, 't') + "/a"}) {
    CAPTURE(bad);
    CHECK_FALSE(valid_spiffe_id(bad));
  }
  CHECK(valid_spiffe_id("spiffe://td/" + std::string(2048 - 12, 'a')));
  CHECK(valid_trust_domain("cluster.local"));
  CHECK_FALSE(valid_trust_domain(""));
  CHECK_FALSE(valid_trust_domain("cluster/local"));
}

TEST_CASE("the namespace of an identity is read only from the Kubernetes form") {
  CHECK(namespace_of("spiffe://td/ns/shop/sa/web") == "shop");
  CHECK(namespace_of("td/ns/shop/sa/web") == "shop");
  for (const char* other :
       {"", "spiffe://td", "spiffe://td/ns", "spiffe://td/ns/shop", "spiffe://td/ns/shop/sa",
        "spiffe://td/ns/shop/sa/web/x", "spiffe://td/sa/web/ns/shop", "spiffe://ns/shop/sa/web"}) {
    CAPTURE(other);
    CHECK(namespace_of(other).empty());
  }
}

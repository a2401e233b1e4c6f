// What a WebSocket's opening says and checks (RFC 6455 section 1.3 has the example).
#include "nodeproxy/http/websocket.h"

#include <catch2/catch.hpp>
#include <set>

namespace weir::http::websocket {
namespace {

TEST_CASE("a key is accepted with the digest of it that RFC 6455 gives as its example") {
  CHECK(accept("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

TEST_CASE("a new key is of 16 bytes and no two are the same") {
  std::set<std::string> keys;
  for (int i = 0; i < 100; ++i) {
    keys.insert(new_key());
    CHECK(is_key(*keys.rbegin()));
  }
  CHECK(keys.size() == 100);
}

TEST_CASE("what is not 16 bytes in base64 is no key") {
  CHECK(is_key("dGhlIHNhbXBsZSBub25jZQ=="));
  for (const char* text :
       {"", "x", "dGhlIHNhbXBsZSBub25jZQ", "dGhlIHNhbXBsZSBub25jZSE=", "dGhlIHNhbXBsZSBub25j_Q==",
        "dGhlIHNhbXBsZSBub25jZQ== ", "=GhlIHNhbXBsZSBub25jZQ=="}) {
    INFO(text);
    CHECK_FALSE(is_key(text));
  }
}

TEST_CASE("only WebSocket alone is asked for, whatever its case") {
  Head head;
  for (const auto& [upgrade, asked] : {std::pair{"", false},
                                       {"websocket", true},
                                       {"WebSocket", true},
                                       {"websocket, foo", false},
                                       {"foo", false}}) {
    head.upgrade = upgrade;
    CHECK(is_asked_for(head) == asked);
  }
}

}  // namespace
}  // namespace weir::http::websocket

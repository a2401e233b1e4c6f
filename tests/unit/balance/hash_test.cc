// What is hashed for consistent balancing, and to what.
#include "nodeproxy/balance/hash.h"

#include <catch2/catch.hpp>
#include <set>
#include <string>

#include "tests/unit/balance/services.h"

using namespace weir;
using namespace weir::balance;
using namespace weir::balance::test;
using config::HashKey;

TEST_CASE("a key of a header, cookie or query parameter is its bytes; without the value there is none") {
  for (const HashKey::Of of : {HashKey::Of::header, HashKey::Of::cookie, HashKey::Of::query}) {
    const HashKey key{of, "x-user"};
    CHECK(hash_of(key, ip("10.0.0.1"), "ann") == hash_of(key, ip("10.0.0.2"), "ann"));
    CHECK(hash_of(key, ip("10.0.0.1"), "ann") != hash_of(key, ip("10.0.0.1"), "Ann"));
    CHECK(hash_of(key, ip("10.0.0.1"), "").has_value());
    CHECK_FALSE(hash_of(key, ip("10.0.0.1"), std::nullopt).has_value());
  }
}

TEST_CASE("a key of the source address needs no value, and is the address alone") {
  const HashKey key;
  CHECK(hash_of(key, ip("10.0.0.1"), std::nullopt) == hash_of(ip("10.0.0.1")));
  CHECK(hash_of(key, ip("10.0.0.1"), "ann") == hash_of(ip("10.0.0.1")));
  CHECK(hash_of(key, ip("10.0.0.1"), std::nullopt) != hash_of(key, ip("10.0.0.2"), std::nullopt));
}

TEST_CASE("every byte and the length count") {
  std::set<uint64_t> seen;
  std::string text(40, 'a');
  seen.insert(hash_of(text));
  for (char& c : text) {
    c = 'b';
    CHECK(seen.insert(hash_of(text)).second);
  }
  for (size_t length = 0; length < 40; ++length)
    CHECK(seen.insert(hash_of(std::string(length, '\0'))).second);
}

TEST_CASE("the hash is that of every other proxy: known bytes have known values") {
  CHECK(hash_of("") == 0xe220a8397b1dcdafULL);
  CHECK(hash_of("session=1f2e3d4c5b6a") == 0xf3e6677c81a886a6ULL);
  CHECK(hash_of(ip("10.0.0.1")) == 0xaf3abdc6985f69ceULL);
  CHECK(hash_of(ip("fd00::1")) == 0xd9d322a8e0b8660dULL);
}

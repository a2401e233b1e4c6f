// What is remembered of verified chains, and what is judged each time.
#include "nodeproxy/tls/chains.h"

#include <openssl/pool.h>

#include <catch2/catch.hpp>

#include "tests/unit/tls/resumed_pair.h"

namespace weir::tls::test {
namespace {

using namespace std::chrono_literals;
constexpr auto kCart = "spiffe://cluster.local/ns/shop/sa/cart";

bssl::UniquePtr<STACK_OF(CRYPTO_BUFFER)> sent(const std::vector<std::string>& chain) {
  bssl::UniquePtr<STACK_OF(CRYPTO_BUFFER)> list(sk_CRYPTO_BUFFER_new_null());
  for (const std::string& der : chain) {
    bssl::UniquePtr<CRYPTO_BUFFER> part(
        CRYPTO_BUFFER_new(reinterpret_cast<const uint8_t*>(der.data()), der.size(), nullptr));
    REQUIRE(bssl::PushToStack(list.get(), std::move(part)));
  }
  return list;
}

std::string leaf_of(const Authority& authority, long to_seconds = 3600) {
  return authority.issue({.to_seconds = to_seconds}).der;
}

}  // namespace

TEST_CASE("a chain that was followed is known, in the next bundle it is followed again") {
  const Authority root("root"), middle("middle", root);
  VerifiedChains chains;
  const auto chain = sent({leaf_of(middle), middle.der()});
  const auto bundle = *Bundle::make(root.trust());
  for (int i = 0; i < 3; ++i)
    CHECK(chains.judge(chain.get(), *bundle, chains.now())->identity.uri() == kCart);
  CHECK(chains.followed() == 1);
  CHECK(chains.known() == 2);
  const auto same_again = *Bundle::make(root.trust());  // the same roots and version, but it came anew
  CHECK(chains.judge(chain.get(), *same_again, chains.now()));
  CHECK(chains.followed() == 2);
}

TEST_CASE("a known chain is refused by a bundle without its root, and under another trust domain") {
  const Authority root("root"), other("other");
  VerifiedChains chains;
  const auto chain = sent({leaf_of(root)});
  CHECK(chains.judge(chain.get(), **Bundle::make(root.trust()), chains.now()));
  const auto reason = [&](const Trust& trust) {
    return chains.judge(chain.get(), **Bundle::make(trust), chains.now()).error().reason;
  };
  CHECK(reason(other.trust()) == Reason::certificate_untrusted);
  CHECK(reason(root.trust("other.local")) == Reason::trust_domain);
}

TEST_CASE("the time is judged each time, with the skew of clocks, at both ends of the whole path") {
  const Authority root("root"), middle("middle", root, -600, 1800);
  VerifiedChains chains;
  const auto chain = sent({leaf_of(middle), middle.der()});  // the leaf: −60 s to 3,600 s
  const auto bundle = *Bundle::make(root.trust());
  const WallTime begun = chains.now();
  const auto reason = [&](std::chrono::seconds later) {
    const auto verified = chains.judge(chain.get(), *bundle, begun + later);
    return verified ? Reason::none : verified.error().reason;
  };
  CHECK(reason(0s) == Reason::none);
  CHECK(reason(1850s) == Reason::none);  // the intermediate's end, within the skew
  CHECK(reason(-115s) == Reason::none);
  CHECK(chains.followed() == 1);
  CHECK(reason(1870s) == Reason::certificate_expired);
  CHECK(reason(0s) == Reason::none);
  CHECK(reason(-130s) == Reason::certificate_expired);
}

TEST_CASE("another leaf, other intermediates, and the same bytes cut otherwise are other chains") {
  const Authority root("root"), middle("middle", root);
  VerifiedChains chains;
  const auto bundle = *Bundle::make(root.trust());
  const std::string leaf = leaf_of(middle);
  CHECK(chains.judge(sent({leaf, middle.der()}).get(), *bundle, chains.now()));
  const auto reason = [&](const std::vector<std::string>& chain) {
    return chains.judge(sent(chain).get(), *bundle, chains.now()).error().reason;
  };
  CHECK(reason({leaf}) == Reason::certificate_untrusted);
  CHECK(reason({leaf + middle.der()}) == Reason::certificate_malformed);
  CHECK(reason({leaf, middle.der().substr(1)}) == Reason::certificate_malformed);
  CHECK(reason({}) == Reason::client_certificate_required);
  CHECK(chains.known() == 0);
  CHECK(chains.judge(sent({leaf_of(middle), middle.der()}).get(), *bundle, chains.now()));
  CHECK(chains.known() == 0);
}

TEST_CASE("a refusal is not remembered, and neither is who was expected") {
  const Authority root("root"), other("other");
  VerifiedChains chains;
  const auto bundle = *Bundle::make(root.trust());
  const auto chain = sent({leaf_of(other)});
  for (int i = 0; i < 2; ++i) CHECK_FALSE(chains.judge(chain.get(), *bundle, chains.now()));
  CHECK(chains.size() == 0);
  CHECK(chains.followed() == 2);

  const auto cart = good_context(root, kCart);
  const auto dial = [&](const std::string& expected) {
    Pair pair(*Session::dial(cart, id(expected), &chains), *Session::accept(cart));
    pair.handshake();
    return pair.client_state ? Reason::none : pair.client_state.error().reason;
  };
  CHECK(dial(kCart) == Reason::none);
  CHECK(chains.size() == 1);
  CHECK(dial("spiffe://cluster.local/ns/shop/sa/other") == Reason::identity_mismatch);
  CHECK(chains.known() == 1);  // known it was, and refused all the same
}

TEST_CASE("what is remembered is bounded: the least lately used goes") {
  const Authority root("root");
  VerifiedChains chains(2);
  const auto bundle = *Bundle::make(root.trust());
  const auto a = sent({leaf_of(root)}), b = sent({leaf_of(root)}), c = sent({leaf_of(root)});
  const auto known = [&](const STACK_OF(CRYPTO_BUFFER) * chain) {
    const uint64_t before = chains.known();
    REQUIRE(chains.judge(chain, *bundle, chains.now()));
    return chains.known() > before;
  };
  CHECK_FALSE(known(a.get()));
  CHECK_FALSE(known(b.get()));
  CHECK(known(a.get()));
  CHECK_FALSE(known(c.get()));
  CHECK(chains.size() == 2);
  CHECK(known(a.get()));
  CHECK_FALSE(known(b.get()));
}

}  // namespace weir::tls::test

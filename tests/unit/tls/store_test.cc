// Rotation: when keys and chains are asked for, taken, served and refused, under clocks of the test's.
#include "nodeproxy/tls/store.h"

#include <openssl/bn.h>
#include <openssl/ec_key.h>
#include <openssl/mem.h>
#include <openssl/x509v3.h>

#include <catch2/catch.hpp>

#include "tests/unit/tls/pair.h"

namespace weir::tls::test {
namespace {

using namespace std::chrono_literals;
const std::string kCart = "spiffe://cluster.local/ns/shop/sa/cart";

// What a CA does with a request: reads its key and its URI.
struct Csr {
  bssl::UniquePtr<X509_REQ> request;
  bssl::UniquePtr<EVP_PKEY> key;
  std::string uri;

  explicit Csr(const std::string& der) {
    const auto* at = reinterpret_cast<const uint8_t*>(der.data());
    request.reset(d2i_X509_REQ(nullptr, &at, static_cast<long>(der.size())));
    REQUIRE(request);
    key.reset(X509_REQ_get_pubkey(request.get()));
    REQUIRE(X509_REQ_verify(request.get(), key.get()) == 1);
    STACK_OF(X509_EXTENSION)* extensions = X509_REQ_get_extensions(request.get());
    bssl::UniquePtr<GENERAL_NAMES> names(
        static_cast<GENERAL_NAMES*>(X509V3_get_d2i(extensions, NID_subject_alt_name, nullptr, nullptr)));
    REQUIRE((names && sk_GENERAL_NAME_num(names.get()) == 1));
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names.get(), 0);
    REQUIRE(name->type == GEN_URI);
    const ASN1_IA5STRING* text = name->d.uniformResourceIdentifier;
    uri.assign(reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
               static_cast<size_t>(ASN1_STRING_length(text)));
    sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
  }
};

std::vector<std::string> sign(const Authority& authority, const SigningRequest& request,
                              long to_seconds = 3600) {
  const Csr csr(request.csr);
  Spec spec;
  spec.uris = {csr.uri};
  spec.to_seconds = to_seconds;
  return {authority.sign(spec, csr.key.get())};
}

struct Clocks {
  Now now = Now::read();
  void pass(std::chrono::seconds by) { now = {now.wall + by, now.steady + by}; }
};

}  // namespace

TEST_CASE("a request carries the identity and a key that stays here") {
  CertStore store(1);
  REQUIRE(store.add(kCart));
  Clocks clocks;
  const auto requests = store.due(clocks.now);
  REQUIRE(requests.size() == 1);
  CHECK(requests[0].identity == kCart);
  CHECK(Csr(requests[0].csr).uri == kCart);
  CHECK(store.due(clocks.now).empty());  // asked for already
  clocks.pass(11s);
  CHECK(store.due(clocks.now).size() == 1);  // unanswered
}

TEST_CASE("a chain makes a context, which serves until it expires and is renewed at half life") {
  const unsigned seed = GENERATE(take(20, random(1u, 1u << 30)));
  INFO("seed " << seed);
  const Authority authority("root");
  CertStore store(seed);
  Clocks clocks;
  REQUIRE(store.set_trust(authority.trust()));
  REQUIRE(store.add(kCart));
  CHECK(store.get(kCart, clocks.now) == nullptr);
  const auto made = store.install(kCart, sign(authority, store.due(clocks.now).at(0)), clocks.now);
  REQUIRE(made);
  CHECK(store.get(kCart, clocks.now) == *made);
  const auto wait = store.next_due() - clocks.now.steady;
  CHECK(wait >= 3600s * 0.449);
  CHECK(wait <= 3600s * 0.551);
  clocks.pass(1600s);
  CHECK(store.due(clocks.now).empty());
  clocks.pass(400s);
  const auto renewal = store.due(clocks.now);
  REQUIRE(renewal.size() == 1);
  CHECK(store.get(kCart, clocks.now) == *made);  // the old one serves meanwhile
  SECTION("renewed") {
    const auto next = store.install(kCart, sign(authority, renewal[0], 7200), clocks.now);
    REQUIRE(next);
    CHECK((*next)->generation() > (*made)->generation());
    clocks.pass(3600s);
    CHECK(store.get(kCart, clocks.now) == *next);
  }
  SECTION("never renewed") {
    clocks.pass(1700s);
    CHECK(store.get(kCart, clocks.now) == nullptr);
  }
}

TEST_CASE("a wall clock that is set back does not lengthen a certificate's life, one set forward renews it") {
  const Authority authority("root");
  CertStore store(1);
  Clocks clocks;
  REQUIRE(store.set_trust(authority.trust()));
  REQUIRE(store.add(kCart));
  REQUIRE(store.install(kCart, sign(authority, store.due(clocks.now).at(0)), clocks.now));
  SECTION("back") {
    clocks.now.wall -= 24h;
    clocks.now.steady += 2000s;
    CHECK(store.due(clocks.now).size() == 1);
    clocks.now.steady += 2000s;
    CHECK(store.get(kCart, clocks.now) == nullptr);
  }
  SECTION("forward") {
    clocks.now.wall += 3000s;
    CHECK(store.due(clocks.now).size() == 1);
    CHECK(store.due(clocks.now).empty());
  }
}

TEST_CASE("refusals back off and count, and the old certificate serves on") {
  const Authority authority("root");
  CertStore store(1);
  Clocks clocks;
  REQUIRE(store.set_trust(authority.trust()));
  REQUIRE(store.add(kCart));
  std::chrono::nanoseconds last{0};
  for (uint32_t failures = 1; failures <= 8; ++failures) {
    REQUIRE(store.due(clocks.now).size() == 1);
    store.refused(kCart, clocks.now);
    CHECK(store.view().at(0).failures == failures);
    const std::chrono::nanoseconds wait = store.next_due() - clocks.now.steady;
    CHECK(wait >= last);
    CHECK(wait <= 60s);
    CHECK(store.due(clocks.now).empty());
    last = wait;
    clocks.now.steady += wait;
  }
  const auto request = store.due(clocks.now);
  REQUIRE(store.install(kCart, sign(authority, request.at(0)), clocks.now));
  CHECK(store.view().at(0).failures == 0);
}

TEST_CASE("late answers to a repeated request change nothing, also while the next one is under way") {
  const Authority authority("root");
  CertStore store(1);
  Clocks clocks;
  REQUIRE(store.set_trust(authority.trust()));
  REQUIRE(store.add(kCart));
  std::vector<SigningRequest> requests;
  for (int i = 0; i < 3; ++i) {  // the agent sleeps
    for (SigningRequest& request : store.due(clocks.now)) requests.push_back(std::move(request));
    clocks.pass(11s);
  }
  REQUIRE(requests.size() == 3);
  const auto first = store.install(kCart, sign(authority, requests[0]), clocks.now);
  REQUIRE(first);
  const auto renewed_at = store.next_due();
  const auto late = store.install(kCart, sign(authority, requests[1], 7200), clocks.now);
  REQUIRE(late);
  CHECK(*late == *first);
  CHECK(store.get(kCart, clocks.now) == *first);
  CHECK(store.next_due() == renewed_at);

  clocks.pass(2000s);
  const auto renewal = store.due(clocks.now);
  REQUIRE(renewal.size() == 1);
  const auto later = store.install(kCart, sign(authority, requests[2], 7200), clocks.now);
  REQUIRE(later);
  CHECK(*later == *first);
  CHECK(store.view().at(0).failures == 0);
  const auto next = store.install(kCart, sign(authority, renewal[0]), clocks.now);
  REQUIRE(next);
  CHECK(*next != *first);
  // For a key that is not in use any more: nobody asked for that.
  const auto stray = store.install(kCart, sign(authority, requests[2]), clocks.now);
  REQUIRE_FALSE(stray);
  CHECK(stray.error().reason == Reason::bad_config);
}

TEST_CASE("answers that do not fit are refused and change nothing") {
  const Authority authority("root");
  CertStore store(1);
  Clocks clocks;
  CHECK(store.install(kCart, {}, clocks.now).error().reason == Reason::bad_config);  // not asked for
  REQUIRE(store.add(kCart));
  const auto request = store.due(clocks.now).at(0);
  SECTION("no trust yet") { CHECK_FALSE(store.install(kCart, sign(authority, request), clocks.now)); }
  REQUIRE(store.set_trust(authority.trust()));
  const auto refused = [&](const std::vector<std::string>& chain) {
    const auto made = store.install(kCart, chain, clocks.now);
    REQUIRE_FALSE(made);
    CHECK(made.error().reason == Reason::bad_config);
    CHECK(store.get(kCart, clocks.now) == nullptr);
  };
  SECTION("an empty chain") { refused({}); }
  SECTION("not a certificate") { refused({"garbage"}); }
  SECTION("for another key") { refused({authority.issue({}).der}); }
  SECTION("for another identity") {
    Spec spec;
    spec.uris = {"spiffe://cluster.local/ns/shop/sa/other"};
    refused({authority.sign(spec, Csr(request.csr).key.get())});
  }
  SECTION("expired") { refused(sign(authority, request, -1)); }
}

TEST_CASE("new roots make new contexts, and the old ones keep their trust") {
  const Authority first("first"), second("second");
  CertStore store(1);
  Clocks clocks;
  REQUIRE(store.set_trust(first.trust("cluster.local", 1)));
  REQUIRE(store.add(kCart));
  const auto old = *store.install(kCart, sign(first, store.due(clocks.now).at(0)), clocks.now);
  Trust both = first.trust("cluster.local", 2);
  both.roots.push_back(second.der());
  REQUIRE(store.set_trust(both));
  const auto overlap = store.get(kCart, clocks.now);
  CHECK(overlap->trust_version() == 2);
  CHECK(old->trust_version() == 1);
  REQUIRE(store.set_trust(second.trust("cluster.local", 3)));
  const auto ended = store.get(kCart, clocks.now);

  const auto peer_of_second = good_context(second, "spiffe://cluster.local/ns/data/sa/db");
  const auto shake = [&](std::shared_ptr<const Context> dialler) {
    Pair pair(std::move(dialler), peer_of_second, peer_of_second->identity());
    pair.handshake();
    return pair.client_state ? Reason::none : pair.client_state.error().reason;
  };
  CHECK(shake(old) == Reason::certificate_untrusted);  // knows only the first root
  CHECK(shake(overlap) ==
        Reason::certificate_untrusted);  // knows both, but its own chain is not trusted by the peer
  CHECK(shake(ended) == Reason::certificate_untrusted);
  const auto renewed_request = [&] {
    clocks.pass(2000s);
    return store.due(clocks.now).at(0);
  }();
  const auto renewed = store.install(kCart, sign(second, renewed_request), clocks.now);
  REQUIRE(renewed);
  CHECK(shake(*renewed) == Reason::none);
  CHECK_FALSE(store.set_trust({"cluster.local", 4, {"garbage"}}));
  CHECK_FALSE(store.set_trust({"cluster.local", 4, {}}));
  CHECK(store.get(kCart, clocks.now) == *renewed);
}

TEST_CASE("a certificate that lives long does not keep its ticket key for as long") {
  const Authority authority("root");
  CertStore store(1);
  Clocks clocks;
  REQUIRE(store.set_trust(authority.trust()));
  REQUIRE(store.add(kCart));
  constexpr long kMonth = 30 * 86400;
  const auto made = *store.install(kCart, sign(authority, store.due(clocks.now).at(0), kMonth), clocks.now);
  for (int lives = 1; lives <= 3; ++lives) {
    const auto before = store.get(kCart, clocks.now);
    clocks.pass(kContextLife - 1s);
    CHECK(store.due(clocks.now).empty());
    CHECK(store.get(kCart, clocks.now) == before);
    clocks.pass(1s);
    CHECK(store.due(clocks.now).empty());  // nothing is asked of the signer for it
    const auto now = store.get(kCart, clocks.now);
    CHECK(now->generation() > before->generation());
    CHECK(now->not_after() == made->not_after());
    CHECK(now->bundle().number() == made->bundle().number());
  }
}

TEST_CASE("an identity lives as long as its users") {
  CertStore store(1);
  CHECK_FALSE(store.add("not an identity"));
  REQUIRE(store.add(kCart));
  REQUIRE(store.add(kCart));
  store.remove(kCart);
  CHECK(store.view().size() == 1);
  store.remove(kCart);
  CHECK(store.view().empty());
  store.remove(kCart);
}

TEST_CASE("a private key is in nothing that leaves the process") {
  const Authority authority("root");
  const auto key = *PrivateKey::make();
  const auto request = key->certificate_request(id(kCart));
  REQUIRE(request);
  const EC_KEY* ec = EVP_PKEY_get0_EC_KEY(key->get());
  uint8_t secret[32];
  REQUIRE(BN_bn2bin_padded(secret, sizeof secret, EC_KEY_get0_private_key(ec)));
  const std::string_view needle(reinterpret_cast<const char*>(secret), sizeof secret);
  CHECK(request->find(needle) == std::string::npos);

  Spec spec;
  spec.uris = {kCart};
  const auto context =
      Context::make(id(kCart), key, {authority.sign(spec, key->get())}, *Bundle::make(authority.trust()));
  REQUIRE(context);
  Pair pair(*context, good_context(authority, kCart), id(kCart));
  (void)pair.client->handshake();
  std::vector<std::byte> wire = drain(*pair.client);
  Pair::hand_over(*pair.client, *pair.server, pair.server_state, SIZE_MAX);
  pair.server->feed(wire);
  (void)pair.server->handshake();
  std::vector<std::byte> back = drain(*pair.server);
  pair.client->feed(back);
  REQUIRE(pair.client->handshake().value() == HandshakeState::done);
  const auto finished = drain(*pair.client);
  wire.insert(wire.end(), finished.begin(), finished.end());
  CHECK(std::string_view(reinterpret_cast<const char*>(wire.data()), wire.size()).find(needle) ==
        std::string_view::npos);
}

}  // namespace weir::tls::test

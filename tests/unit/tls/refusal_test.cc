// Wrong certificates of every kind, shown by the dialler and by the acceptor: each is refused by the other with its
// reason, and the one that showed it learns the same reason from the alert.
#include <openssl/ssl.h>

#include <catch2/catch.hpp>

#include "nodeproxy/tls/alerts.h"
#include "tests/unit/tls/raw_peer.h"

namespace weir::tls::test {
namespace {

constexpr auto kCart = "spiffe://cluster.local/ns/shop/sa/cart";
constexpr auto kDb = "spiffe://cluster.local/ns/data/sa/db";

struct Wrong {
  const char* name;
  Reason reason;
  std::function<void(Spec&)> change;
};

std::string nul_san() {
  const std::string uri("spiffe://cluster.local/ns/shop/sa/cart\0.evil", 44);
  return std::string("\x30\x2e\x86\x2c", 4) + uri;
}

const std::vector<Wrong>& wrongs() {
  static const std::vector<Wrong> list = {
      {"CA:true leaf", Reason::certificate_malformed, [](Spec& s) { s.ca = true; }},
      {"keyCertSign leaf", Reason::certificate_malformed, [](Spec& s) { s.key_usage = {0, 5}; }},
      {"cRLSign leaf", Reason::certificate_malformed, [](Spec& s) { s.key_usage = {0, 6}; }},
      {"no key usage", Reason::certificate_malformed, [](Spec& s) { s.key_usage = {}; }},
      {"no extended key usage", Reason::certificate_malformed, [](Spec& s) { s.purposes = {}; }},
      {"server only", Reason::certificate_malformed, [](Spec& s) { s.purposes = {NID_server_auth}; }},
      {"client only", Reason::certificate_malformed, [](Spec& s) { s.purposes = {NID_client_auth}; }},
      {"code signing", Reason::certificate_malformed, [](Spec& s) { s.purposes = {NID_code_sign}; }},
      {"any extended key usage", Reason::certificate_malformed,
       [](Spec& s) { s.purposes = {NID_anyExtendedKeyUsage}; }},
      {"no name at all", Reason::certificate_malformed, [](Spec& s) { s.uris = {}; }},
      {"two URIs", Reason::certificate_malformed, [](Spec& s) { s.uris = {kCart, kDb}; }},
      {"the same URI twice", Reason::certificate_malformed, [](Spec& s) { s.uris = {kCart, kCart}; }},
      {"two SAN extensions", Reason::certificate_malformed, [](Spec& s) { s.san_twice = true; }},
      {"a DNS name for the URI", Reason::certificate_malformed,
       [](Spec& s) { s.uris = {}, s.dns = {"cart.shop.svc.cluster.local"}; }},
      {"a DNS name that reads as a URI", Reason::certificate_malformed,
       [](Spec& s) { s.uris = {}, s.dns = {kCart}; }},
      {"a CN for the URI", Reason::certificate_malformed,
       [](Spec& s) { s.uris = {}, s.common_name = kCart; }},
      {"upper case", Reason::certificate_malformed,
       [](Spec& s) { s.uris = {"spiffe://cluster.local/ns/Shop/sa/cart"}; }},
      {"a port", Reason::certificate_malformed,
       [](Spec& s) { s.uris = {"spiffe://cluster.local:1/ns/shop/sa/cart"}; }},
      {"user info", Reason::certificate_malformed,
       [](Spec& s) { s.uris = {"spiffe://me@cluster.local/ns/shop/sa/cart"}; }},
      {"a query", Reason::certificate_malformed, [](Spec& s) { s.uris = {std::string(kCart) + "?a"}; }},
      {"a fragment", Reason::certificate_malformed, [](Spec& s) { s.uris = {std::string(kCart) + "#a"}; }},
      {"percent", Reason::certificate_malformed,
       [](Spec& s) { s.uris = {"spiffe://cluster.local/ns/shop/sa/c%61rt"}; }},
      {"dot dot", Reason::certificate_malformed,
       [](Spec& s) { s.uris = {"spiffe://cluster.local/ns/x/../shop/sa/cart"}; }},
      {"an empty segment", Reason::certificate_malformed,
       [](Spec& s) { s.uris = {"spiffe://cluster.local/ns//shop/sa/cart"}; }},
      {"a trailing slash", Reason::certificate_malformed,
       [](Spec& s) { s.uris = {std::string(kCart) + "/"}; }},
      {"2,049 bytes", Reason::certificate_malformed,
       [](Spec& s) { s.uris = {kCart + std::string(2049 - std::string(kCart).size(), 'x')}; }},
      {"a NUL", Reason::certificate_malformed, [](Spec& s) { s.raw_san = nul_san(); }},
      {"bytes that are not IA5", Reason::certificate_malformed,
       [](Spec& s) { s.uris = {std::string(kCart) + "\xe9"}; }},
      {"a SAN that does not decode", Reason::certificate_malformed,
       [](Spec& s) { s.raw_san = "\x30\x05\x86"; }},
      {"not a SPIFFE URI", Reason::certificate_malformed,
       [](Spec& s) { s.uris = {"https://cluster.local/ns/shop/sa/cart"}; }},
      {"X.509 v1", Reason::certificate_malformed, [](Spec& s) { s.version = 0; }},
      {"another trust domain", Reason::trust_domain,
       [](Spec& s) { s.uris = {"spiffe://other.local/ns/shop/sa/cart"}; }},
      {"a trust domain that begins alike", Reason::trust_domain,
       [](Spec& s) { s.uris = {"spiffe://cluster.local.evil/ns/shop/sa/cart"}; }},
      {"expired by more than the skew", Reason::certificate_expired,
       [](Spec& s) { s.from_seconds = -3600, s.to_seconds = -65; }},
      {"not valid for longer than the skew", Reason::certificate_expired,
       [](Spec& s) { s.from_seconds = 65; }},
      {"a signature that was changed", Reason::certificate_untrusted,
       [](Spec& s) { s.break_signature = true; }},
      {"an issuer nobody knows", Reason::certificate_untrusted, [](Spec& s) { s.issuer_name = "nobody"; }},
  };
  return list;
}

struct Met {
  Error ours, theirs;
};

// A raw peer with this chain against our session, as dialler (client) or acceptor.
Met meet(const Authority& trusted, EVP_PKEY* key, const std::vector<std::string>& chain, bool peer_dials) {
  const auto context = good_context(trusted, kDb);
  const auto ours = peer_dials ? *Session::accept(context) : *Session::dial(context, id(kCart));
  RawPeer peer(key, chain, peer_dials);
  Result<HandshakeState> state = HandshakeState::want_more;
  for (int round = 0; round < 6 && state; ++round) {
    peer.handshake();
    std::vector<std::byte> wire = peer.take_sent();
    ours->feed(wire);
    state = ours->handshake();
    peer.receive(drain(*ours));
  }
  peer.handshake();
  const std::string unread = peer.read();
  REQUIRE_FALSE(state);
  CHECK(unread.empty());
  return {state.error(), peer.error()};
}

}  // namespace

TEST_CASE("every wrong certificate is refused with its reason, on both sides") {
  REQUIRE(wrongs().size() >= 25);
  const Authority root("root");
  const auto key = make_key(KeyKind::p256);
  for (const Wrong& wrong : wrongs()) {
    for (const bool peer_dials : {true, false}) {
      CAPTURE(wrong.name, peer_dials);
      Spec spec;
      wrong.change(spec);
      const Met met = meet(root, key.get(), {root.sign(spec, key.get())}, peer_dials);
      INFO(met.ours.describe() << " / " << met.theirs.describe());
      CHECK(label(met.ours.reason) == label(wrong.reason));
      CHECK(met.ours.source == Source::local);
      CHECK(label(met.theirs.reason) == label(wrong.reason));
    }
  }
}

TEST_CASE("the same certificate without the fault is taken, on both sides") {
  const Authority root("root");
  const auto key = make_key(KeyKind::p256);
  for (const long from : {-60L, 50L}) {    // 50 s early: within the skew
    for (const long to : {3600L, -50L}) {  // 50 s late
      Spec spec;
      spec.from_seconds = to < 0 ? -3600 : from;
      spec.to_seconds = to;
      spec.dns = {"beside.example"};  // beside the URI it does not count
      for (const bool peer_dials : {true, false}) {
        const auto context = good_context(root, kDb);
        const auto ours = peer_dials ? *Session::accept(context) : *Session::dial(context, id(kCart));
        RawPeer peer(key.get(), {root.sign(spec, key.get())}, peer_dials);
        REQUIRE(peer.connect(*ours));
        CHECK(ours->peer_identity().uri() == kCart);
      }
    }
  }
}

TEST_CASE("a leaf that may not make digital signatures is refused") {  // BoringSSL itself would not show one
  const Authority root("root");
  Spec spec;
  spec.key_usage = {4};
  const auto leaf = parse_certificate(root.issue(spec).der);
  REQUIRE(leaf);
  CHECK(check_leaf(leaf.get()).error().reason == Reason::certificate_malformed);
}

TEST_CASE("a leaf with another kind of key is refused") {
  const Authority root("root");
  const auto key = make_key(GENERATE(KeyKind::p384, KeyKind::rsa2048));
  const Met met = meet(root, key.get(), {root.sign({}, key.get())}, GENERATE(true, false));
  // The peer may find out before us that no signature scheme is common.
  CHECK((met.ours.reason == Reason::certificate_malformed || met.ours.reason == Reason::handshake_failed));
}

TEST_CASE("chains are followed to a root of the bundle and nowhere else") {
  const Authority root("root"), stranger("root");  // same name, another key
  const auto key = make_key(KeyKind::p256);
  const bool peer_dials = GENERATE(true, false);
  const auto refused = [&](const std::vector<std::string>& chain) {
    return meet(root, key.get(), chain, peer_dials).ours.reason;
  };
  SECTION("another root of the same name") {
    CHECK(refused({stranger.sign({}, key.get())}) == Reason::certificate_untrusted);
  }
  SECTION("its root sent along") {
    CHECK(refused({stranger.sign({}, key.get()), stranger.der()}) == Reason::certificate_untrusted);
  }
  SECTION("signed by a leaf") {
    const Authority leaf("leaf", root, -60, 3600, /*ca=*/false);
    CHECK(refused({leaf.sign({}, key.get()), leaf.der()}) == Reason::certificate_untrusted);
  }
  SECTION("an intermediate that is missing") {
    const Authority middle("middle", root);
    CHECK(refused({middle.sign({}, key.get())}) == Reason::certificate_untrusted);
  }
  SECTION("an intermediate that has expired") {
    const Authority middle("middle", root, -3600, -120);
    CHECK(refused({middle.sign({}, key.get()), middle.der()}) == Reason::certificate_expired);
  }
  SECTION("an intermediate, as it should be") {
    const Authority middle("middle", root, -3600, 1800);
    const auto context = good_context(root, kDb);
    const auto ours = peer_dials ? *Session::accept(context) : *Session::dial(context, id(kCart));
    RawPeer peer(key.get(), {middle.sign({}, key.get()), middle.der()}, peer_dials);
    REQUIRE(peer.connect(*ours));
    CHECK(ours->peer_not_after() <
          std::chrono::system_clock::now() + std::chrono::seconds(1810));  // the earliest
  }
}

TEST_CASE("a root that has expired ends everything under it") {
  const Authority root("root", -7200, -120);
  const auto key = make_key(KeyKind::p256);
  CHECK(meet(root, key.get(), {root.sign({}, key.get())}, true).ours.reason == Reason::certificate_expired);
}

TEST_CASE("the dialler refuses another identity than the snapshot's, and the acceptor learns why") {
  const Authority root("root");
  Pair pair(good_context(root, kCart), good_context(root, kDb),
            id("spiffe://cluster.local/ns/data/sa/other"));
  pair.handshake();
  CHECK(pair.client_state.error() == Error{Source::local, Reason::identity_mismatch});
  CHECK(pair.server_state.error() == Error{Source::peer, Reason::identity_mismatch});
}

TEST_CASE("a dialler whose certificate is refused learns it with its first read") {
  const Authority root("root"), old_root("old");
  Spec spec;
  spec.uris = {kCart};
  const Certified made = old_root.issue(spec);
  const auto client =
      Context::make(id(kCart), made.key, {made.der}, std::make_shared<const Trust>(root.trust()));
  REQUIRE(client);
  Pair pair(*client, good_context(root, kDb), id(kDb));
  pair.handshake();
  CHECK(pair.server_state.error() == Error{Source::local, Reason::certificate_untrusted});
  CHECK(pair.client_state.error() == Error{Source::peer, Reason::certificate_untrusted});
}

TEST_CASE("a weir peer without a certificate is refused") {
  const Authority root("root");
  const auto ours = *Session::accept(good_context(root, kDb));
  RawPeer peer(nullptr, {}, /*dials=*/true);
  CHECK_FALSE(peer.connect(*ours));
  CHECK(ours->handshake().error() == Error{Source::local, Reason::client_certificate_required});
  CHECK(peer.error().reason == Reason::client_certificate_required);
}

TEST_CASE("a certificate whose key the peer does not have is refused") {
  const Authority root("root");
  const auto key = make_key(KeyKind::p256), other = make_key(KeyKind::p256);
  RawPeer peer(key.get(), {root.sign({}, key.get())}, true);
  peer.sign_with(other.get());
  const auto ours = *Session::accept(good_context(root, kDb));
  CHECK_FALSE(peer.connect(*ours));
  CHECK(ours->handshake().error() == Error{Source::local, Reason::handshake_failed});
}

TEST_CASE("TLS 1.2, a missing ALPN and a foreign ALPN are refused") {
  const Authority root("root");
  const auto key = make_key(KeyKind::p256);
  const bool peer_dials = GENERATE(true, false);
  const auto context = good_context(root, kDb);
  const auto ours = peer_dials ? *Session::accept(context) : *Session::dial(context, id(kCart));
  RawPeer peer(key.get(), {root.sign({}, key.get())}, peer_dials);
  SECTION("TLS 1.2") { peer.max_version(TLS1_2_VERSION); }
  SECTION("no ALPN") { peer.alpn(""); }
  SECTION("h2") { peer.alpn("h2"); }
  CHECK_FALSE(peer.connect(*ours));
  CHECK(ours->handshake().error().reason == Reason::handshake_failed);
}

TEST_CASE("a chain longer than the limit fails the handshake") {
  const Authority root("root");
  const auto key = make_key(KeyKind::p256);
  std::vector<std::string> chain(60, root.sign({}, key.get()));
  RawPeer peer(key.get(), chain, true);
  const auto ours = *Session::accept(good_context(root, kDb));
  CHECK_FALSE(peer.connect(*ours));
  CHECK(ours->handshake().error().reason == Reason::handshake_failed);
}

TEST_CASE("reasons and alerts map onto each other") {
  for (const Reason reason :
       {Reason::certificate_malformed, Reason::certificate_expired, Reason::certificate_untrusted,
        Reason::trust_domain, Reason::identity_mismatch, Reason::client_certificate_required})
    CHECK(reason_of_alert(alert_of(reason)) == reason);
  CHECK(reason_of_alert(kBadRecordMac) == Reason::handshake_failed);
}

}  // namespace weir::tls::test

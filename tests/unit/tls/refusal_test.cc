// Wrong certificates of every kind, shown by the dialler and by the acceptor: each is refused by the other with its
// reason, and the one that showed it learns the same reason from the alert.
#include <openssl/ssl.h>

#include <catch2/catch.hpp>

#include "nodeproxy/tls/alerts.h"
#include "tests/unit/tls/wrong_certificates.h"

namespace weir::tls::test {
TEST_CASE("every wrong certificate is refused with its reason, on both sides") {
  REQUIRE(wrongs().size() >= 40);
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
  spec.key_usage = GENERATE(std::vector{4}, std::vector{15});
  const auto leaf = parse_certificate(root.issue(spec).der);
  REQUIRE(leaf);
  CHECK(check_leaf(leaf.get()).error().reason == Reason::certificate_malformed);
}

TEST_CASE("a leaf with another kind of key is refused") {
  const Authority root("root");
  const auto kind = GENERATE(KeyKind::p224, KeyKind::p384, KeyKind::p521, KeyKind::rsa1024, KeyKind::rsa2048);
  const auto key = make_key(kind);
  const std::string der = root.sign({}, key.get());
  CHECK(check_leaf(parse_certificate(der).get()).error().reason == Reason::certificate_malformed);
  if (kind == KeyKind::p224) return;  // BoringSSL does not present it either
  const Met met = meet(root, key.get(), {der}, GENERATE(true, false));
  // The peer may find out before us that no signature scheme is common.
  CHECK((met.ours.reason == Reason::certificate_malformed || met.ours.reason == Reason::handshake_failed));
}

TEST_CASE("what does not parse as a certificate is refused") {
  const Authority root("root");
  const auto key = make_key(KeyKind::p256);
  const std::string der = root.sign({}, key.get());
  const std::string wrong =
      GENERATE_COPY(std::string(), std::string("garbage"), der + '\0', der.substr(0, der.size() - 1),
                    std::string("\x30\x80") + der.substr(4) + std::string(2, '\0'));
  CHECK_FALSE(parse_certificate(wrong));
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
  const auto client = Context::make(id(kCart), made.key, {made.der}, *Bundle::make(root.trust()));
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

TEST_CASE("reasons and alerts map onto each other") {
  for (const Reason reason :
       {Reason::certificate_malformed, Reason::certificate_expired, Reason::certificate_untrusted,
        Reason::trust_domain, Reason::identity_mismatch, Reason::client_certificate_required})
    CHECK(reason_of_alert(alert_of(reason)) == reason);
  CHECK(reason_of_alert(kBadRecordMac) == Reason::handshake_failed);
}

}  // namespace weir::tls::test

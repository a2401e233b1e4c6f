// Wrong chains: from the leaf, which is good, to a root of the bundle and nowhere else, by issuers that may issue it and
// are not weak (RFC 5280 6.1; mesh-protocol.md "Verification refuses").
#include <openssl/nid.h>

#include <catch2/catch.hpp>

#include "tests/unit/tls/wrong_certificates.h"

namespace weir::tls::test {

using namespace std::string_literals;

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

TEST_CASE("a chain longer than the limit fails the handshake") {
  const Authority root("root");
  const auto key = make_key(KeyKind::p256);
  std::vector<std::string> chain(60, root.sign({}, key.get()));
  RawPeer peer(key.get(), chain, true);
  const auto ours = *Session::accept(good_context(root, kDb));
  CHECK_FALSE(peer.connect(*ours));
  CHECK(ours->handshake().error().reason == Reason::handshake_failed);
}

struct WrongIssuer {
  const char* name;
  Reason reason;
  Issuer issuer;
};

// NameConstraints of one URI host: 0 permitted, 1 excluded (RFC 5280 4.2.1.10).
Extension names(char kind, const std::string& host) {
  const auto wrap = [](char tag, const std::string& value) {
    return tag + std::string(1, static_cast<char>(value.size())) + value;
  };
  const std::string subtree = wrap('\x30', wrap('\x86', host));
  return {NID_name_constraints, true, wrap('\x30', wrap(static_cast<char>('\xa0' + kind), subtree))};
}

TEST_CASE("an issuer that may not issue, or is weak, is refused on both sides") {
  const WrongIssuer list[] = {
      {"no CA", Reason::certificate_untrusted, {.ca = false}},
      {"no basic constraints", Reason::certificate_untrusted, {.constraints = false}},
      {"may not sign certificates", Reason::certificate_untrusted, {.key_usage = {0, 6}}},
      {"X.509 v1", Reason::certificate_untrusted, {.version = 0}},
      {"excludes our trust domain", Reason::certificate_untrusted, {.more = {names(1, "cluster.local")}}},
      {"permits another trust domain only",
       Reason::certificate_untrusted,
       {.more = {names(0, "other.local")}}},
      {"a critical extension that nobody knows",
       Reason::certificate_untrusted,
       {.more = {{NID_netscape_comment, true, "\x16\1x"s}}}},
      {"signed over SHA-1", Reason::certificate_untrusted, {.sha1 = true}},
      {"an RSA key of 1,024 bits", Reason::certificate_untrusted, {.key = KeyKind::rsa1024}},
      {"a P-224 key", Reason::certificate_untrusted, {.key = KeyKind::p224}},
      {"not yet valid", Reason::certificate_expired, {.from_seconds = 65}},
      {"expired", Reason::certificate_expired, {.from_seconds = -3600, .to_seconds = -65}},
  };
  const Authority root("root");
  const auto key = make_key(KeyKind::p256);
  for (const WrongIssuer& wrong : list) {
    const Authority middle("middle", root, wrong.issuer);
    for (const bool peer_dials : {true, false}) {
      CAPTURE(wrong.name, peer_dials);
      const Met met = meet(root, key.get(), {middle.sign({}, key.get()), middle.der()}, peer_dials);
      INFO(met.ours.describe());
      CHECK(label(met.ours.reason) == label(wrong.reason));
      CHECK(label(met.theirs.reason) == label(wrong.reason));
    }
  }
}

TEST_CASE("an issuer of another strong kind, and one that permits our trust domain, is taken") {
  const Issuer issuer =
      GENERATE(Issuer{.key = KeyKind::p384}, Issuer{.key = KeyKind::p521}, Issuer{.key = KeyKind::rsa2048},
               Issuer{.path_length = 0}, Issuer{.key_usage = {}}, Issuer{.more = {names(0, "cluster.local")}},
               Issuer{.more = {names(1, "other.local")}});
  const Authority root("root"), middle("middle", root, issuer);
  const auto key = make_key(KeyKind::p256);
  CHECK(taken(root, key.get(), {middle.sign({}, key.get()), middle.der()}, GENERATE(true, false)));
}

TEST_CASE("a CA below the length of path that its issuer allows is refused") {
  const Authority root("root"), first("first", root, Issuer{.path_length = 0}), second("second", first);
  const auto key = make_key(KeyKind::p256);
  const Met met =
      meet(root, key.get(), {second.sign({}, key.get()), second.der(), first.der()}, GENERATE(true, false));
  CHECK(met.ours.reason == Reason::certificate_untrusted);
}

TEST_CASE("a chain with a part that does not parse, or in a circle, is refused") {
  const Authority root("root"), a("a", root), b("b", a), a_again("a", b);
  const auto key = make_key(KeyKind::p256);
  const bool peer_dials = GENERATE(true, false);
  const std::string leaf = root.sign({}, key.get());
  CHECK(meet(root, key.get(), {leaf, "garbage"}, peer_dials).ours.reason == Reason::certificate_malformed);
  CHECK(
      meet(root, key.get(), {a_again.sign({}, key.get()), a_again.der(), b.der()}, peer_dials).ours.reason ==
      Reason::certificate_untrusted);
}

TEST_CASE("a leaf that signed itself, and a root that is shown as a leaf, are refused") {
  const Authority root("root");
  const auto key = make_key(KeyKind::p256);
  Spec spec;
  spec.common_name = spec.issuer_name = "self";
  const Met met = meet(root, key.get(), {root.sign(spec, key.get())}, GENERATE(true, false));
  CHECK(met.ours.reason == Reason::certificate_untrusted);
  // BoringSSL itself would not show a root.
  CHECK(check_leaf(parse_certificate(root.der()).get()).error().reason == Reason::certificate_malformed);
}

}  // namespace weir::tls::test

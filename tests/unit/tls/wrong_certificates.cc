// See wrong_certificates.h. The SPIFFE X.509-SVID rules (SPIFFE-ID 2, X509-SVID 2–4) and RFC 5280 4.2.1.
#include "tests/unit/tls/wrong_certificates.h"

#include <openssl/nid.h>

namespace weir::tls::test {
namespace {

using namespace std::string_literals;

const std::string kSan("\x30\x28\x86\x26spiffe://cluster.local/ns/shop/sa/cart");

// Texts of the one URI that are no SPIFFE ID of ours.
struct WrongName {
  const char* name;
  std::string uri;
};
const WrongName kNames[] = {
    {"upper case", "spiffe://cluster.local/ns/Shop/sa/cart"},
    {"upper case in the trust domain", "spiffe://Cluster.local/ns/shop/sa/cart"},
    {"upper case in the scheme", "SPIFFE://cluster.local/ns/shop/sa/cart"},
    {"a port", "spiffe://cluster.local:1/ns/shop/sa/cart"},
    {"user info", "spiffe://me@cluster.local/ns/shop/sa/cart"},
    {"a query", "spiffe://cluster.local/ns/shop/sa/cart?a"},
    {"a fragment", "spiffe://cluster.local/ns/shop/sa/cart#a"},
    {"percent", "spiffe://cluster.local/ns/shop/sa/c%61rt"},
    {"a slash in percent", "spiffe://cluster.local/ns/shop%2fsa%2fcart"},
    {"a percent in the trust domain", "spiffe://cluster%2elocal/ns/shop/sa/cart"},
    {"dot dot", "spiffe://cluster.local/ns/x/../shop/sa/cart"},
    {"a dot", "spiffe://cluster.local/ns/./sa/cart"},
    {"an empty segment", "spiffe://cluster.local/ns//shop/sa/cart"},
    {"an empty namespace", "spiffe://cluster.local/ns//sa/cart"},
    {"a trailing slash", "spiffe://cluster.local/ns/shop/sa/cart/"},
    {"a segment too many", "spiffe://cluster.local/ns/shop/sa/cart/admin"},
    {"no path", "spiffe://cluster.local"},
    {"an empty path", "spiffe://cluster.local/"},
    {"a path of another shape", "spiffe://cluster.local/workload/cart"},
    {"no trust domain", "spiffe:///ns/shop/sa/cart"},
    {"a trust domain of 256 bytes", "spiffe://" + std::string(256, 'd') + "/ns/shop/sa/cart"},
    {"a space", "spiffe://cluster.local/ns/shop/sa/cart "},
    {"a line's end", "spiffe://cluster.local/ns/shop/sa/cart\n"},
    {"a backslash", "spiffe://cluster.local\\ns\\shop\\sa\\cart"},
    {"a plus sign", "spiffe://cluster.local/ns/shop/sa/ca+rt"},
    {"2,049 bytes", kCart + std::string(2049 - std::string(kCart).size(), 'x')},
    {"bytes that are not IA5", kCart + "\xe9"s},
    {"a NUL", kCart + "\0.evil"s},
    {"an empty URI", ""},
    {"not a SPIFFE URI", "https://cluster.local/ns/shop/sa/cart"},
    {"a scheme without an authority", "spiffe:cluster.local/ns/shop/sa/cart"},
};

const std::vector<Wrong> kWrongs = {
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
    {"a CN for the URI", Reason::certificate_malformed, [](Spec& s) { s.uris = {}, s.common_name = kCart; }},
    {"a SAN that does not decode", Reason::certificate_malformed,
     [](Spec& s) { s.raw_san = "\x30\x05\x86"; }},
    {"X.509 v1", Reason::certificate_malformed, [](Spec& s) { s.version = 0; }},
    {"another trust domain", Reason::trust_domain,
     [](Spec& s) { s.uris = {"spiffe://other.local/ns/shop/sa/cart"}; }},
    {"a trust domain that begins alike", Reason::trust_domain,
     [](Spec& s) { s.uris = {"spiffe://cluster.local.evil/ns/shop/sa/cart"}; }},
    {"expired by more than the skew", Reason::certificate_expired,
     [](Spec& s) { s.from_seconds = -3600, s.to_seconds = -65; }},
    {"not valid for longer than the skew", Reason::certificate_expired, [](Spec& s) { s.from_seconds = 65; }},
    {"a signature that was changed", Reason::certificate_untrusted,
     [](Spec& s) { s.break_signature = true; }},
    {"an issuer nobody knows", Reason::certificate_untrusted, [](Spec& s) { s.issuer_name = "nobody"; }},
    {"key usage twice", Reason::certificate_malformed,
     [](Spec& s) { s.more = {{NID_key_usage, true, "\3\2\7\x80"s}}; }},
    {"extended key usage twice", Reason::certificate_malformed,
     [](Spec& s) { s.more = {{NID_ext_key_usage, false, "\x30\x0a\6\x08\x2b\6\1\5\5\7\3\1"s}}; }},
    {"extended key usage that is empty", Reason::certificate_malformed,
     [](Spec& s) { s.purposes = {}, s.more = {{NID_ext_key_usage, false, "\x30\0"s}}; }},
    {"basic constraints twice", Reason::certificate_malformed,
     [](Spec& s) { s.more = {{NID_basic_constraints, true, "\x30\0"s}}; }},
    {"basic constraints that do not decode", Reason::certificate_malformed,
     [](Spec& s) { s.basic_constraints = false, s.more = {{NID_basic_constraints, true, "\x30\1"s}}; }},
    {"a length of path on a leaf", Reason::certificate_malformed,
     [](Spec& s) { s.basic_constraints = false, s.more = {{NID_basic_constraints, true, "\x30\3\2\1\1"s}}; }},
    {"a critical extension that nobody knows", Reason::certificate_malformed,
     [](Spec& s) { s.more = {{NID_netscape_comment, true, "\x16\1x"s}}; }},
    {"a SAN of no name", Reason::certificate_malformed, [](Spec& s) { s.raw_san = "\x30\0"s; }},
    {"a SAN with bytes behind it", Reason::certificate_malformed, [](Spec& s) { s.raw_san = kSan + '\0'; }},
    {"a SAN that is one name and no sequence", Reason::certificate_malformed,
     [](Spec& s) { s.raw_san = kSan.substr(2); }},
    {"an IP address for the URI", Reason::certificate_malformed,
     [](Spec& s) { s.raw_san = "\x30\6\x87\4\x0a\0\0\1"s; }},
    {"an e-mail address for the URI", Reason::certificate_malformed,
     [](Spec& s) { s.raw_san = "\x30\x28\x81\x26" + kSan.substr(4); }},
    {"the URI as the issuer's alternative name", Reason::certificate_malformed,
     [](Spec& s) { s.uris = {}, s.more = {{NID_issuer_alt_name, false, kSan}}; }},
    {"a trust domain that ends alike", Reason::trust_domain,
     [](Spec& s) { s.uris = {"spiffe://evil.cluster.local/ns/shop/sa/cart"}; }},
    {"an address for the trust domain", Reason::trust_domain,
     [](Spec& s) { s.uris = {"spiffe://10.244.2.2/ns/shop/sa/cart"}; }},
    {"ends before it begins", Reason::certificate_expired,
     [](Spec& s) { s.from_seconds = 3600, s.to_seconds = -3600; }},
    {"a signature over SHA-1", Reason::certificate_untrusted, [](Spec& s) { s.sha1 = true; }},
};

}  // namespace

const std::vector<Wrong>& wrongs() {
  static const std::vector<Wrong> all = [] {
    std::vector<Wrong> list = kWrongs;
    for (const WrongName& wrong : kNames)
      list.push_back(
          {wrong.name, Reason::certificate_malformed, [&](Spec& spec) { spec.uris = {wrong.uri}; }});
    return list;
  }();
  return all;
}

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
  CHECK_FALSE(state);
  if (state) return {};
  CHECK(unread.empty());
  return {state.error(), peer.error()};
}

bool taken(const Authority& trusted, EVP_PKEY* key, const std::vector<std::string>& chain, bool peer_dials) {
  const auto context = good_context(trusted, kDb);
  const auto ours = peer_dials ? *Session::accept(context) : *Session::dial(context, id(kCart));
  RawPeer peer(key, chain, peer_dials);
  return peer.connect(*ours) && ours->peer_identity().uri() == kCart;
}

}  // namespace weir::tls::test

#pragma once
// A factory of certificates for the tests, right and wrong ones, signed by roots of its own. Every field that the
// verification looks at can be set wrong by itself.
// Owner: the tests of tls/. Thread: one.
#include <openssl/x509.h>

#include <memory>
#include <string>
#include <vector>

#include "nodeproxy/tls/context.h"
#include "nodeproxy/tls/keys.h"

namespace weir::tls::test {

enum class KeyKind { p224, p256, p384, p521, rsa1024, rsa2048 };
bssl::UniquePtr<EVP_PKEY> make_key(KeyKind kind);

struct Extension {
  int nid = NID_undef;
  bool critical = false;
  std::string value;  // DER
};

struct Spec {
  std::vector<std::string> uris = {"spiffe://cluster.local/ns/shop/sa/cart"};
  std::vector<std::string> dns = {};
  std::string raw_san = {};  // DER of the whole extension value, instead of the two above
  std::string common_name = {};
  bool san_twice = false;
  long from_seconds = -60, to_seconds = 3600;  // from now
  bool basic_constraints = true, ca = false;
  std::vector<int> key_usage = {0};  // bits of RFC 5280 4.2.1.3; empty: no extension
  std::vector<int> purposes = {NID_server_auth, NID_client_auth};  // empty: no extension
  int version = 2;                                                 // v3
  std::vector<Extension> more = {};                                // behind the others
  bool sha1 = false;
  bool break_signature = false;
  std::string issuer_name = {};  // instead of the authority's own
};

// What an authority says of itself. As it is: a CA without limits.
struct Issuer {
  long from_seconds = -3600, to_seconds = 86400;
  bool constraints = true, ca = true;
  long path_length = -1;                // of CAs below; -1: says nothing
  std::vector<int> key_usage = {5, 6};  // empty: no extension
  std::vector<Extension> more = {};
  KeyKind key = KeyKind::p256;
  bool sha1 = false;  // signed by its parent so
  int version = 2;
};

// A key and a certificate; `der` for what goes over the wire.
struct Certified {
  std::shared_ptr<const PrivateKey> key;
  std::string der;
};

class Authority {
 public:
  explicit Authority(const std::string& name, long from_seconds = -3600, long to_seconds = 86400);
  // An intermediate of `parent`.
  Authority(const std::string& name, const Authority& parent, long from_seconds = -3600,
            long to_seconds = 86400, bool ca = true);
  Authority(const std::string& name, const Authority& parent, const Issuer& issuer);

  Certified issue(const Spec& spec) const;                  // with a new PrivateKey
  std::string sign(const Spec& spec, EVP_PKEY* key) const;  // DER
  const std::string& der() const { return der_; }
  Trust trust(const std::string& domain = "cluster.local", uint64_t version = 1) const {
    return {domain, version, {der_}};
  }

 private:
  std::string name_;
  bssl::UniquePtr<EVP_PKEY> key_;
  std::string der_;
};

SpiffeId id(const std::string& uri);
// A Context for a good certificate of this identity.
std::shared_ptr<const Context> good_context(const Authority& authority, const std::string& uri,
                                            long to_seconds = 3600);

}  // namespace weir::tls::test

#pragma once
// The judgement on a certificate chain: the leaf rules of an X.509-SVID (mesh-protocol.md "Verification refuses"), the
// trust domain, validity with skew, and the path to a root. One order, cheap checks first, so that each wrong
// certificate has one reason. A cache of verified chains belongs around verify_chain (key: leaf hash, trust version).
// Owner: none. Thread: any; Roots are immutable.
#include <openssl/base.h>
#include <openssl/x509.h>

#include <chrono>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "nodeproxy/base/error.h"
#include "nodeproxy/tls/context.h"
#include "nodeproxy/tls/identity.h"

namespace weir::tls {

inline constexpr auto kClockSkew = std::chrono::seconds(60);

struct Leaf {
  SpiffeId identity;
  WallTime not_before, not_after;
};

struct Verified {
  SpiffeId identity;
  WallTime not_after;  // the earliest of the chain
};

// The roots of a trust bundle, parsed.
class Roots {
 public:
  // bad_config: none, or one that is not a certificate.
  static Result<Roots> parse(const std::vector<std::string>& der);
  X509_STORE* store() const { return store_.get(); }

 private:
  bssl::UniquePtr<X509_STORE> store_;
};

bssl::UniquePtr<X509> parse_certificate(std::string_view der);  // null: not one certificate in DER

// The rules of the leaf alone: form, key, usage, the one URI. certificate_malformed says which in its detail.
Result<Leaf> check_leaf(X509* leaf);

// check_leaf, then trust_domain, certificate_expired, certificate_untrusted.
Result<Verified> verify_chain(X509* leaf, STACK_OF(X509) * intermediates, const Roots& roots,
                              std::string_view trust_domain, WallTime now);

}  // namespace weir::tls

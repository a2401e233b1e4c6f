#pragma once
// The judgement on a certificate chain: the leaf rules of an X.509-SVID (mesh-protocol.md "Verification refuses"), the
// trust domain, validity with skew, and the path to a root. One order, cheap checks first, so that each wrong
// certificate has one reason. A worker asks its VerifiedChains (chains.h), which remember what was found here.
// Owner: none. Thread: any.
#include <openssl/base.h>
#include <openssl/x509.h>

#include <chrono>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "nodeproxy/base/error.h"
#include "nodeproxy/tls/bundle.h"
#include "nodeproxy/tls/identity.h"

namespace weir::tls {

inline constexpr auto kClockSkew = std::chrono::seconds(60);

struct Leaf {
  SpiffeId identity;
  WallTime not_before, not_after;
};

struct Verified {
  SpiffeId identity;
  WallTime not_before, not_after;  // of the whole path: the latest beginning and the earliest end
};

// Whether something is valid at this time, give or take the skew of clocks.
inline bool valid_at(WallTime now, WallTime not_before, WallTime not_after) {
  return now <= not_after + kClockSkew && now >= not_before - kClockSkew;
}

bssl::UniquePtr<X509> parse_certificate(std::string_view der);  // null: not one certificate in DER

// The rules of the leaf alone: form, key, usage, the one URI. certificate_malformed says which in its detail.
Result<Leaf> check_leaf(X509* leaf);

// check_leaf, then trust_domain, certificate_expired, certificate_untrusted. `sent` is what the peer showed, leaf first;
// a part that does not parse is certificate_malformed.
Result<Verified> verify_chain(const STACK_OF(CRYPTO_BUFFER) * sent, const Bundle& bundle, WallTime now);

}  // namespace weir::tls

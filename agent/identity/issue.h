#pragma once
// Making certificates: leaves for workloads (and the controller's own server), and roots. Whoever signs, the embedded CA
// or the controller, issues the same profile. Thread: any; pure, but for clock and randomness that are handed in or
// OpenSSL's. Source: X.509-SVID sections 3 to 5, RFC 5280 sections 4.1.2.2 and 4.2.1.
#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "agent/identity/openssl.h"
#include "agent/identity/signer.h"

namespace weir::agent {

// Who signs, for the length of a call.
struct Issuer {
  X509* certificate = nullptr;
  EVP_PKEY* key = nullptr;
  std::vector<std::string>
      intermediates;  // DER: what stands between a leaf and the root, the issuer itself first
};

// Leaf: the one name (`subject_alt_name` in OpenSSL's words, "URI:spiffe://…", checked by the caller: no comma or newline
// that would add to the extension), critical as there is no subject, not before a minute ago, EKU client and server.
// It does not outlive its issuer.
Result<IssuedCertificate> issue_leaf(const Issuer& issuer, EVP_PKEY* leaf_key,
                                     const std::string& subject_alt_name, std::chrono::seconds life,
                                     int64_t now);

// What a root made now is called: its time, to the second, in UTC. `now`: Unix seconds.
std::string root_stamp(int64_t now);

// Self-signed, ten years, signs leaves only.
Result<CertPtr> make_root_certificate(EVP_PKEY* key, const std::string& id);

// Of a bundle, in its order; hexadecimal SHA-256.
Result<std::string> hash_of_roots(const std::vector<std::string>& der);
Result<std::string> sha256_hex(std::string_view bytes);

int64_t seconds_of(const ASN1_TIME* time);  // Unix

}  // namespace weir::agent

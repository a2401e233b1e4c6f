#pragma once
// A certificate authority as a Kubernetes Secret of type kubernetes.io/tls holds it: tls.crt (the issuer, then what stands
// between it and its root), tls.key, and ca.crt (the roots), which a self-signed tls.crt may leave out. As cert-manager
// writes it. And PEM in and out of DER. Thread: any; pure.
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "agent/identity/issue.h"
#include "agent/identity/openssl.h"

namespace weir::agent {

struct Authority {
  std::string id;  // SHA-256 of the issuer's certificate
  CertPtr certificate;
  KeyPtr key;
  std::vector<std::string> intermediates,
      roots;  // DER; intermediates begin with the issuer, unless it is a root

  Issuer issuer() const { return {certificate.get(), key.get(), intermediates}; }
  int64_t not_after() const { return seconds_of(X509_get0_notAfter(certificate.get())); }
};

// Errors: bad_config, naming the key of the Secret and what is wrong with it: no certificate, no CA's, another key's,
// expired at `now`, or one that does not lead to a root.
Result<Authority> read_authority(const std::string& tls_crt, const std::string& tls_key,
                                 const std::string& ca_crt, int64_t now);

// A new root of our own, as PEM.
struct RootPem {
  std::string certificate, key;
};
Result<RootPem> make_root_pem(const std::string& id);

// Every certificate of a PEM text; text around them is passed over. Errors: a block that is no certificate, or none.
Result<std::vector<std::string>> certificates_of_pem(const std::string& pem);
Result<std::string> pem_of(const std::vector<std::string>& der);
Result<std::string> pem_of_key(const EVP_PKEY* key);  // PKCS #8
// As values of a Secret are written.
Result<std::string> from_base64(const std::string& text);
// Unix seconds; errors: no certificate.
Result<int64_t> not_after_of(const std::string& der);

}  // namespace weir::agent

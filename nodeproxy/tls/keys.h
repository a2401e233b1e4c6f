#pragma once
// Private keys: made here, used here, never written anywhere. A key leaves this file only as a signature (CSR,
// handshake).
// Owner: the certificate generation that uses it (context.h). Thread: made on the config thread; signing is safe from
// any. Lifetime: shared; BoringSSL cleanses the memory with the last owner.
#include <openssl/evp.h>

#include <memory>
#include <string>

#include "nodeproxy/base/error.h"
#include "nodeproxy/tls/identity.h"

namespace weir::tls {

class PrivateKey {
 public:
  // A fresh ECDSA P-256 key. Fails with out_of_memory only.
  static Result<std::shared_ptr<const PrivateKey>> make();

  // PKCS #10 in DER: empty subject, the identity as the one URI SAN (RFC 2986), signed ECDSA-SHA256.
  Result<std::string> certificate_request(const SpiffeId& identity) const;

  // Whether this certificate (DER) is for this key.
  bool is_of(const std::string& certificate) const;

  EVP_PKEY* get() const { return key_.get(); }

 private:
  explicit PrivateKey(bssl::UniquePtr<EVP_PKEY> key) : key_(std::move(key)) {}

  bssl::UniquePtr<EVP_PKEY> key_;
};

}  // namespace weir::tls

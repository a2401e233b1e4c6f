#pragma once
// OpenSSL's objects with one owner each, its errors as ours, and DER in and out of strings. Private to identity/.
// Thread: values. The agent links OpenSSL 3; nothing here may meet BoringSSL (the proxy's).
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <memory>
#include <string>
#include <string_view>

#include "nodeproxy/base/error.h"

namespace weir::agent {

template <auto Free>
struct FreeWith {
  template <typename T>
  void operator()(T* object) const {
    Free(object);
  }
};
using KeyPtr = std::unique_ptr<EVP_PKEY, FreeWith<EVP_PKEY_free>>;
using CertPtr = std::unique_ptr<X509, FreeWith<X509_free>>;
using RequestPtr = std::unique_ptr<X509_REQ, FreeWith<X509_REQ_free>>;
using BioPtr = std::unique_ptr<BIO, FreeWith<BIO_free_all>>;
using NamesPtr = std::unique_ptr<GENERAL_NAMES, FreeWith<GENERAL_NAMES_free>>;
using ExtensionPtr = std::unique_ptr<X509_EXTENSION, FreeWith<X509_EXTENSION_free>>;
using BnPtr = std::unique_ptr<BIGNUM, FreeWith<BN_free>>;

// Source::agent, handshake-free `bad_config`, with OpenSSL's own words; clears its queue.
std::unexpected<Error> fail_openssl(const std::string& what);

bool is_p256(const EVP_PKEY* key);
Result<KeyPtr> make_p256_key();
// A positive random number of 127 bits (RFC 5280 section 4.1.2.2), as the certificate's serial.
Status set_random_serial(X509* certificate);
Status add_extension(X509* certificate, const X509* issuer, int nid, const std::string& value);
Result<std::string> to_der(const X509* certificate);

}  // namespace weir::agent

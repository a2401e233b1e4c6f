// P-256 keys and PKCS #10 requests. See keys.h.
#include "nodeproxy/tls/keys.h"

#include <openssl/ec_key.h>
#include <openssl/err.h>
#include <openssl/mem.h>
#include <openssl/nid.h>
#include <openssl/stack.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "nodeproxy/tls/verify.h"

namespace weir::tls {

Result<std::shared_ptr<const PrivateKey>> PrivateKey::make() {
  bssl::UniquePtr<EC_KEY> ec(EC_KEY_new_by_curve_name(NID_X9_62_prime256v1));
  bssl::UniquePtr<EVP_PKEY> key(EVP_PKEY_new());
  if (!ec || !key || !EC_KEY_generate_key(ec.get()) || !EVP_PKEY_set1_EC_KEY(key.get(), ec.get())) {
    ERR_clear_error();
    return fail(Source::local, Reason::out_of_memory);
  }
  return std::shared_ptr<const PrivateKey>(new PrivateKey(std::move(key)));
}

namespace {

// The extension SubjectAltName with one URI.
bssl::UniquePtr<X509_EXTENSION> uri_san(const std::string& uri) {
  bssl::UniquePtr<GENERAL_NAME> name(GENERAL_NAME_new());
  bssl::UniquePtr<GENERAL_NAMES> names(GENERAL_NAMES_new());
  bssl::UniquePtr<ASN1_IA5STRING> text(ASN1_IA5STRING_new());
  if (!name || !names || !text || !ASN1_STRING_set(text.get(), uri.data(), static_cast<int>(uri.size())))
    return {};
  GENERAL_NAME_set0_value(name.get(), GEN_URI, text.release());
  if (!bssl::PushToStack(names.get(), std::move(name))) return {};
  return bssl::UniquePtr<X509_EXTENSION>(X509V3_EXT_i2d(NID_subject_alt_name, /*crit=*/1, names.get()));
}

}  // namespace

Result<std::string> PrivateKey::certificate_request(const SpiffeId& identity) const {
  bssl::UniquePtr<X509_REQ> request(X509_REQ_new());
  bssl::UniquePtr<X509_EXTENSION> san = uri_san(identity.uri());
  bssl::UniquePtr<STACK_OF(X509_EXTENSION)> extensions(sk_X509_EXTENSION_new_null());
  uint8_t* der = nullptr;
  int size = -1;
  if (request && san && extensions && bssl::PushToStack(extensions.get(), std::move(san)) &&
      X509_REQ_set_version(request.get(), 0) && X509_REQ_set_pubkey(request.get(), key_.get()) &&
      X509_REQ_add_extensions(request.get(), extensions.get()) &&
      X509_REQ_sign(request.get(), key_.get(), EVP_sha256())) {
    size = i2d_X509_REQ(request.get(), &der);
  }
  bssl::UniquePtr<uint8_t> owned(der);
  ERR_clear_error();
  if (size <= 0) return fail(Source::local, Reason::out_of_memory);
  return std::string(reinterpret_cast<const char*>(der), static_cast<size_t>(size));
}

bool PrivateKey::is_of(const std::string& certificate) const {
  const bssl::UniquePtr<X509> parsed = parse_certificate(certificate);
  const bssl::UniquePtr<EVP_PKEY> theirs(parsed ? X509_get_pubkey(parsed.get()) : nullptr);
  const bool same = theirs && EVP_PKEY_cmp(theirs.get(), key_.get()) == 1;
  ERR_clear_error();
  return same;
}

}  // namespace weir::tls

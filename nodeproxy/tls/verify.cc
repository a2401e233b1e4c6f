// X.509-SVID leaf rules and path building on BoringSSL's X509. See verify.h.
#include "nodeproxy/tls/verify.h"

#include <openssl/asn1.h>
#include <openssl/ec_key.h>
#include <openssl/err.h>
#include <openssl/nid.h>
#include <openssl/pool.h>
#include <openssl/stack.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <optional>

namespace weir::tls {
namespace {

std::unexpected<Error> malformed(const char* why) {
  return fail(Source::local, Reason::certificate_malformed, why);
}

std::optional<WallTime> wall_time(const ASN1_TIME* time) {
  bssl::UniquePtr<ASN1_TIME> epoch(ASN1_TIME_set(nullptr, 0));
  int days = 0, seconds = 0;
  if (!epoch || !time || !ASN1_TIME_diff(&days, &seconds, epoch.get(), time)) return std::nullopt;
  return WallTime(std::chrono::hours(24) * days + std::chrono::seconds(seconds));
}

// The extension decoded, null when it is not there; `ok` turns false when it is there twice or does not decode.
template <typename T>
bssl::UniquePtr<T> extension(X509* certificate, int nid, bool& ok) {
  int critical = 0;
  bssl::UniquePtr<T> value(static_cast<T*>(X509_get_ext_d2i(certificate, nid, &critical, nullptr)));
  if (!value && critical != -1) ok = false;  // -1: not there
  return value;
}

bool is_p256(X509* certificate) {
  bssl::UniquePtr<EVP_PKEY> key(X509_get_pubkey(certificate));
  const EC_KEY* ec = key ? EVP_PKEY_get0_EC_KEY(key.get()) : nullptr;
  return ec && EC_GROUP_get_curve_name(EC_KEY_get0_group(ec)) == NID_X9_62_prime256v1;
}

// Signatures that still prove something. SHA-1 does not (collisions with a chosen prefix), and BoringSSL takes it; what
// RSA-PSS hashes with stands in parameters that it does not tell.
bool strong_signature(const X509* certificate) {
  static constexpr int kStrong[] = {
      NID_ecdsa_with_SHA256,       NID_ecdsa_with_SHA384,       NID_ecdsa_with_SHA512,      NID_ED25519,
      NID_sha256WithRSAEncryption, NID_sha384WithRSAEncryption, NID_sha512WithRSAEncryption};
  return std::ranges::find(kStrong, X509_get_signature_nid(certificate)) != std::end(kStrong);
}

// A key of an issuer that is not worth breaking: RSA from 2,048 bits, curves from 256.
bool strong_key(X509* issuer) {
  bssl::UniquePtr<EVP_PKEY> key(X509_get_pubkey(issuer));
  if (!key) return false;
  switch (EVP_PKEY_id(key.get())) {
    case EVP_PKEY_RSA: return EVP_PKEY_bits(key.get()) >= 2048;
    case EVP_PKEY_EC: return EVP_PKEY_bits(key.get()) >= 256;
    case EVP_PKEY_ED25519: return true;
    default: return false;
  }
}

// Of a path from the leaf to the root. The root's own signature proves nothing, so it does not matter.
bool strong(const STACK_OF(X509) * path) {
  const size_t last = sk_X509_num(path) - 1;
  for (size_t i = 0; i <= last; ++i) {
    X509* certificate = sk_X509_value(path, i);
    if (i < last && !strong_signature(certificate)) return false;
    if (i > 0 && !strong_key(certificate)) return false;
  }
  return true;
}

Status check_usage(X509* leaf) {
  // RFC 5280 4.2: what is critical and not known cannot be judged. `invalid`: what BoringSSL itself reads is broken.
  const uint32_t flags = X509_get_extension_flags(leaf);
  if (flags & EXFLAG_INVALID) return malformed("an extension does not decode, or says what a leaf may not");
  if (flags & EXFLAG_CRITICAL) return malformed("a critical extension is not known");
  bool ok = true;
  const auto constraints = extension<BASIC_CONSTRAINTS>(leaf, NID_basic_constraints, ok);
  const auto usage = extension<ASN1_BIT_STRING>(leaf, NID_key_usage, ok);
  const auto purposes = extension<EXTENDED_KEY_USAGE>(leaf, NID_ext_key_usage, ok);
  if (!ok) return malformed("an extension does not decode, or is there twice");
  if (constraints && constraints->ca) return malformed("the leaf is a CA");
  if (!usage) return malformed("the leaf has no key usage");
  // RFC 5280 4.2.1.3: digitalSignature 0, keyCertSign 5, cRLSign 6.
  if (ASN1_BIT_STRING_get_bit(usage.get(), 5) || ASN1_BIT_STRING_get_bit(usage.get(), 6))
    return malformed("the leaf may sign certificates or CRLs");
  if (!ASN1_BIT_STRING_get_bit(usage.get(), 0)) return malformed("the leaf may not make digital signatures");
  bool client = false, server = false;
  for (size_t i = 0; purposes && i < sk_ASN1_OBJECT_num(purposes.get()); ++i) {
    const int nid = OBJ_obj2nid(sk_ASN1_OBJECT_value(purposes.get(), i));
    client |= nid == NID_client_auth;
    server |= nid == NID_server_auth;
  }
  if (!client || !server) return malformed("the extended key usage is not client and server");
  return {};
}

// The one URI. Names of other kinds may stand beside it and never count.
Result<SpiffeId> identity_of(X509* leaf) {
  bool ok = true;
  const auto names = extension<GENERAL_NAMES>(leaf, NID_subject_alt_name, ok);
  if (!ok) return malformed("the subject alternative name does not decode, or is there twice");
  const ASN1_IA5STRING* uri = nullptr;
  for (size_t i = 0; names && i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type != GEN_URI) continue;
    if (uri) return malformed("more than one URI name");
    uri = name->d.uniformResourceIdentifier;
  }
  if (!uri) return malformed("no URI name");
  // By length, so that a NUL is a byte like any other, and refused by the parser's alphabet.
  return SpiffeId::parse({reinterpret_cast<const char*>(ASN1_STRING_get0_data(uri)),
                          static_cast<size_t>(ASN1_STRING_length(uri))});
}

// Time is judged by us, with skew.
int ignore_time(int ok, X509_STORE_CTX* context) {
  const int error = X509_STORE_CTX_get_error(context);
  if (error != X509_V_ERR_CERT_HAS_EXPIRED && error != X509_V_ERR_CERT_NOT_YET_VALID) return ok;
  X509_STORE_CTX_set_error(context, X509_V_OK);
  return 1;
}

}  // namespace

bssl::UniquePtr<X509> parse_certificate(std::string_view der) {
  const uint8_t* at = reinterpret_cast<const uint8_t*>(der.data());
  bssl::UniquePtr<X509> certificate(d2i_X509(nullptr, &at, static_cast<long>(der.size())));
  if (certificate && at != reinterpret_cast<const uint8_t*>(der.data() + der.size())) certificate.reset();
  if (!certificate) ERR_clear_error();
  return certificate;
}

Result<Leaf> check_leaf(X509* leaf) {
  if (X509_get_version(leaf) != 2) return malformed("the leaf is not an X.509 v3 certificate");
  if (!is_p256(leaf)) return malformed("the leaf's key is not P-256");
  if (Status usage = check_usage(leaf); !usage) return std::unexpected(usage.error());
  Result<SpiffeId> identity = identity_of(leaf);
  if (!identity) return std::unexpected(identity.error());
  const auto not_before = wall_time(X509_get0_notBefore(leaf));
  const auto not_after = wall_time(X509_get0_notAfter(leaf));
  if (!not_before || !not_after) return malformed("the leaf's validity does not decode");
  return Leaf{std::move(*identity), *not_before, *not_after};
}

namespace {

Result<Verified> follow(X509* leaf, STACK_OF(X509) * intermediates, const Bundle& bundle, WallTime now) {
  Result<Leaf> facts = check_leaf(leaf);
  ERR_clear_error();
  if (!facts) return std::unexpected(facts.error());
  if (facts->identity.trust_domain() != bundle.domain())
    return fail(Source::local, Reason::trust_domain, facts->identity.uri());
  if (!valid_at(now, facts->not_before, facts->not_after))
    return fail(Source::local, Reason::certificate_expired, facts->identity.uri());

  bssl::UniquePtr<X509_STORE_CTX> path(X509_STORE_CTX_new());
  if (!path || !X509_STORE_CTX_init(path.get(), bundle.roots(), leaf, intermediates))
    return fail(Source::local, Reason::out_of_memory);
  X509_STORE_CTX_set_verify_cb(path.get(), ignore_time);
  const bool trusted = X509_verify_cert(path.get()) == 1;
  ERR_clear_error();
  if (!trusted) {
    return fail(Source::local, Reason::certificate_untrusted,
                X509_verify_cert_error_string(X509_STORE_CTX_get_error(path.get())));
  }
  Verified verified{std::move(facts->identity), facts->not_before, facts->not_after};
  STACK_OF(X509)* chain = X509_STORE_CTX_get0_chain(path.get());
  if (!strong(chain))
    return fail(Source::local, Reason::certificate_untrusted, "a weak signature or an issuer's weak key");
  for (size_t i = 1; i < sk_X509_num(chain); ++i) {
    X509* issuer = sk_X509_value(chain, i);
    const auto from = wall_time(X509_get0_notBefore(issuer));
    const auto to = wall_time(X509_get0_notAfter(issuer));
    if (!from || !to || !valid_at(now, *from, *to))
      return fail(Source::local, Reason::certificate_expired, "an issuer of " + verified.identity.uri());
    verified.not_before = std::max(verified.not_before, *from);
    verified.not_after = std::min(verified.not_after, *to);
  }
  return verified;
}

}  // namespace

Result<Verified> verify_chain(const STACK_OF(CRYPTO_BUFFER) * sent, const Bundle& bundle, WallTime now) {
  bssl::UniquePtr<STACK_OF(X509)> rest(sk_X509_new_null());
  bssl::UniquePtr<X509> leaf;
  for (size_t i = 0; i < sk_CRYPTO_BUFFER_num(sent); ++i) {
    bssl::UniquePtr<X509> certificate(X509_parse_from_buffer(sk_CRYPTO_BUFFER_value(sent, i)));
    if (!certificate) {
      ERR_clear_error();
      return malformed("a certificate of the chain does not parse");
    }
    if (i == 0) {
      leaf = std::move(certificate);
    } else if (!rest || !bssl::PushToStack(rest.get(), std::move(certificate))) {
      return fail(Source::local, Reason::out_of_memory);
    }
  }
  if (!leaf) return fail(Source::local, Reason::client_certificate_required);
  return follow(leaf.get(), rest.get(), bundle, now);
}

}  // namespace weir::tls

// See certificates.h.
#include "tests/unit/tls/certificates.h"

#include <openssl/bn.h>
#include <openssl/bytestring.h>
#include <openssl/ec_key.h>
#include <openssl/mem.h>
#include <openssl/nid.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include <catch2/catch.hpp>
#include <ctime>

namespace weir::tls::test {
namespace {

constexpr uint8_t kTagUri = 6, kTagDns = 2;

std::string san_value(const Spec& spec) {
  if (!spec.raw_san.empty()) return spec.raw_san;
  bssl::ScopedCBB cbb;
  CBB names, name;
  REQUIRE((CBB_init(cbb.get(), 256) && CBB_add_asn1(cbb.get(), &names, CBS_ASN1_SEQUENCE)));
  const auto add = [&](unsigned tag, const std::string& text) {
    REQUIRE((CBB_add_asn1(&names, &name, CBS_ASN1_CONTEXT_SPECIFIC | tag) &&
             CBB_add_bytes(&name, reinterpret_cast<const uint8_t*>(text.data()), text.size()) &&
             CBB_flush(&names)));
  };
  for (const std::string& uri : spec.uris) add(kTagUri, uri);
  for (const std::string& dns : spec.dns) add(kTagDns, dns);
  uint8_t* out = nullptr;
  size_t size = 0;
  REQUIRE(CBB_finish(cbb.get(), &out, &size));
  const bssl::UniquePtr<uint8_t> owned(out);
  return {reinterpret_cast<const char*>(out), size};
}

void add_extension(X509* certificate, const Extension& made) {
  bssl::UniquePtr<ASN1_OCTET_STRING> octets(ASN1_OCTET_STRING_new());
  REQUIRE(ASN1_STRING_set(octets.get(), made.value.data(), static_cast<int>(made.value.size())));
  bssl::UniquePtr<X509_EXTENSION> extension(
      X509_EXTENSION_create_by_NID(nullptr, made.nid, made.critical, octets.get()));
  REQUIRE((extension && X509_add_ext(certificate, extension.get(), -1)));
}

void add_usage(X509* certificate, const std::vector<int>& bits) {
  bssl::UniquePtr<ASN1_BIT_STRING> usage(ASN1_BIT_STRING_new());
  for (const int bit : bits) REQUIRE(ASN1_BIT_STRING_set_bit(usage.get(), bit, 1));
  REQUIRE(X509_add1_ext_i2d(certificate, NID_key_usage, usage.get(), 1, X509V3_ADD_DEFAULT));
}

void add_constraints(X509* certificate, bool ca, long path_length = -1) {
  bssl::UniquePtr<BASIC_CONSTRAINTS> constraints(BASIC_CONSTRAINTS_new());
  constraints->ca = ca ? 0xff : 0;
  if (path_length >= 0) {
    constraints->pathlen = ASN1_INTEGER_new();
    REQUIRE(ASN1_INTEGER_set_uint64(constraints->pathlen, static_cast<uint64_t>(path_length)));
  }
  REQUIRE(X509_add1_ext_i2d(certificate, NID_basic_constraints, constraints.get(), 1, X509V3_ADD_DEFAULT));
}

void add_purposes(X509* certificate, const std::vector<int>& purposes) {
  bssl::UniquePtr<EXTENDED_KEY_USAGE> usage(sk_ASN1_OBJECT_new_null());
  for (const int nid : purposes)
    REQUIRE(bssl::PushToStack(usage.get(), bssl::UniquePtr<ASN1_OBJECT>(OBJ_nid2obj(nid))));
  REQUIRE(X509_add1_ext_i2d(certificate, NID_ext_key_usage, usage.get(), 0, X509V3_ADD_DEFAULT));
}

bssl::UniquePtr<X509_NAME> make_name(const std::string& common_name) {
  bssl::UniquePtr<X509_NAME> name(X509_NAME_new());
  if (!common_name.empty()) {
    REQUIRE(X509_NAME_add_entry_by_NID(name.get(), NID_commonName, MBSTRING_UTF8,
                                       reinterpret_cast<const uint8_t*>(common_name.data()),
                                       static_cast<int>(common_name.size()), -1, 0));
  }
  return name;
}

bssl::UniquePtr<X509> begin(const std::string& subject, const std::string& issuer, EVP_PKEY* key, long from,
                            long to) {
  bssl::UniquePtr<X509> certificate(X509_new());
  uint64_t serial = 0;
  RAND_bytes(reinterpret_cast<uint8_t*>(&serial), sizeof serial);
  const time_t now = time(nullptr);
  REQUIRE((ASN1_INTEGER_set_uint64(X509_get_serialNumber(certificate.get()), serial >> 1) &&
           X509_set_subject_name(certificate.get(), make_name(subject).get()) &&
           X509_set_issuer_name(certificate.get(), make_name(issuer).get()) &&
           ASN1_TIME_set(X509_getm_notBefore(certificate.get()), now + from) &&
           ASN1_TIME_set(X509_getm_notAfter(certificate.get()), now + to) &&
           X509_set_pubkey(certificate.get(), key)));
  return certificate;
}

std::string finish(X509* certificate, EVP_PKEY* signer, bool sha1 = false) {
  REQUIRE(X509_sign(certificate, signer, sha1 ? EVP_sha1() : EVP_sha256()));
  uint8_t* der = nullptr;
  const int size = i2d_X509(certificate, &der);
  REQUIRE(size > 0);
  const bssl::UniquePtr<uint8_t> owned(der);
  return {reinterpret_cast<const char*>(der), static_cast<size_t>(size)};
}

}  // namespace

bssl::UniquePtr<EVP_PKEY> make_key(KeyKind kind) {
  bssl::UniquePtr<EVP_PKEY> key(EVP_PKEY_new());
  if (kind == KeyKind::rsa2048 || kind == KeyKind::rsa1024) {
    bssl::UniquePtr<RSA> rsa(RSA_new());
    bssl::UniquePtr<BIGNUM> exponent(BN_new());
    REQUIRE(
        (BN_set_word(exponent.get(), RSA_F4) &&
         RSA_generate_key_ex(rsa.get(), kind == KeyKind::rsa1024 ? 1024 : 2048, exponent.get(), nullptr) &&
         EVP_PKEY_set1_RSA(key.get(), rsa.get())));
    return key;
  }
  const int curve = kind == KeyKind::p224   ? NID_secp224r1
                    : kind == KeyKind::p256 ? NID_X9_62_prime256v1
                    : kind == KeyKind::p384 ? NID_secp384r1
                                            : NID_secp521r1;
  bssl::UniquePtr<EC_KEY> ec(EC_KEY_new_by_curve_name(curve));
  REQUIRE((EC_KEY_generate_key(ec.get()) && EVP_PKEY_set1_EC_KEY(key.get(), ec.get())));
  return key;
}

Authority::Authority(const std::string& name, long from_seconds, long to_seconds)
    : name_(name), key_(make_key(KeyKind::p256)) {
  const bssl::UniquePtr<X509> certificate = begin(name, name, key_.get(), from_seconds, to_seconds);
  REQUIRE(X509_set_version(certificate.get(), 2));
  add_constraints(certificate.get(), true);
  add_usage(certificate.get(), {5, 6});
  der_ = finish(certificate.get(), key_.get());
}

Authority::Authority(const std::string& name, const Authority& parent, long from_seconds, long to_seconds,
                     bool ca)
    : Authority(name, parent, Issuer{.from_seconds = from_seconds, .to_seconds = to_seconds, .ca = ca}) {}

Authority::Authority(const std::string& name, const Authority& parent, const Issuer& issuer)
    : name_(name), key_(make_key(issuer.key)) {
  const bssl::UniquePtr<X509> certificate =
      begin(name, parent.name_, key_.get(), issuer.from_seconds, issuer.to_seconds);
  REQUIRE(X509_set_version(certificate.get(), issuer.version));
  if (issuer.version == 2) {
    if (issuer.constraints) add_constraints(certificate.get(), issuer.ca, issuer.path_length);
    if (!issuer.key_usage.empty()) add_usage(certificate.get(), issuer.key_usage);
    for (const Extension& extension : issuer.more) add_extension(certificate.get(), extension);
  }
  der_ = finish(certificate.get(), parent.key_.get(), issuer.sha1);
}

std::string Authority::sign(const Spec& spec, EVP_PKEY* key) const {
  const bssl::UniquePtr<X509> certificate =
      begin(spec.common_name, spec.issuer_name.empty() ? name_ : spec.issuer_name, key, spec.from_seconds,
            spec.to_seconds);
  REQUIRE(X509_set_version(certificate.get(), spec.version));
  if (spec.version == 2) {
    if (spec.basic_constraints) add_constraints(certificate.get(), spec.ca);
    if (!spec.key_usage.empty()) add_usage(certificate.get(), spec.key_usage);
    if (!spec.purposes.empty()) add_purposes(certificate.get(), spec.purposes);
    if (!spec.uris.empty() || !spec.dns.empty() || !spec.raw_san.empty()) {
      for (int times = spec.san_twice ? 2 : 1; times > 0; --times)
        add_extension(certificate.get(), {NID_subject_alt_name, false, san_value(spec)});
    }
    for (const Extension& extension : spec.more) add_extension(certificate.get(), extension);
  }
  std::string der = finish(certificate.get(), key_.get(), spec.sha1);
  if (spec.break_signature) der.back() = static_cast<char>(der.back() ^ 1);  // the signature stands last
  return der;
}

Certified Authority::issue(const Spec& spec) const {
  Certified made;
  made.key = *PrivateKey::make();
  made.der = sign(spec, made.key->get());
  return made;
}

SpiffeId id(const std::string& uri) {
  const Result<SpiffeId> parsed = SpiffeId::parse(uri);
  REQUIRE(parsed);
  return *parsed;
}

std::shared_ptr<const Context> good_context(const Authority& authority, const std::string& uri,
                                            long to_seconds) {
  Spec spec;
  spec.uris = {uri};
  spec.to_seconds = to_seconds;
  const Certified made = authority.issue(spec);
  auto context = Context::make(id(uri), made.key, {made.der}, *Bundle::make(authority.trust()));
  if (!context) FAIL(context.error().describe());
  return *context;
}

}  // namespace weir::tls::test

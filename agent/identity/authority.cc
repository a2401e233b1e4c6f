// Reading and checking what signs. See authority.h.
#include "agent/identity/authority.h"

#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/pem.h>

#include <algorithm>
#include <ctime>
#include <utility>

namespace weir::agent {
namespace {

using StorePtr = std::unique_ptr<X509_STORE, FreeWith<X509_STORE_free>>;
using PathPtr = std::unique_ptr<X509_STORE_CTX, FreeWith<X509_STORE_CTX_free>>;

struct StackDeleter {
  void operator()(STACK_OF(X509) * stack) const { sk_X509_pop_free(stack, X509_free); }
};
using StackPtr = std::unique_ptr<STACK_OF(X509), StackDeleter>;

std::unexpected<Error> bad(std::string why) {
  ERR_clear_error();
  return fail(Source::config, Reason::bad_config, std::move(why));
}

BioPtr reading(const std::string& text) {
  return BioPtr(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

std::string text_of(const BioPtr& out) {
  char* bytes = nullptr;
  const long length = BIO_get_mem_data(out.get(), &bytes);
  return {bytes, static_cast<size_t>(length)};
}

CertPtr parse(const std::string& der) {
  const auto* at = reinterpret_cast<const unsigned char*>(der.data());
  CertPtr certificate(d2i_X509(nullptr, &at, static_cast<long>(der.size())));
  if (at != reinterpret_cast<const unsigned char*>(der.data()) + der.size()) certificate.reset();
  return certificate;
}

bool is_self_signed(X509* certificate) {
  return X509_NAME_cmp(X509_get_subject_name(certificate), X509_get_issuer_name(certificate)) == 0;
}

// Whether the issuer leads to one of the roots by the intermediates.
Status check_path(const Authority& authority, int64_t now) {
  const StorePtr store(X509_STORE_new());
  for (const auto& root : authority.roots) {
    const CertPtr certificate = parse(root);
    if (!certificate || X509_check_ca(certificate.get()) == 0)
      return bad("ca.crt: holds a certificate that is no CA's");
    if (X509_STORE_add_cert(store.get(), certificate.get()) != 1) return fail_openssl("ca.crt");
  }
  const StackPtr between(sk_X509_new_null());
  for (const auto& one : authority.intermediates) {
    CertPtr certificate = parse(one);
    if (certificate && sk_X509_push(between.get(), certificate.get()) > 0)
      static_cast<void>(certificate.release());
  }
  const PathPtr path(X509_STORE_CTX_new());
  if (X509_STORE_CTX_init(path.get(), store.get(), authority.certificate.get(), between.get()) != 1)
    return fail_openssl("tls.crt");
  X509_STORE_CTX_set_time(path.get(), 0, static_cast<time_t>(now));
  if (X509_verify_cert(path.get()) != 1) {
    return bad(fmt::format("tls.crt does not lead to a root of ca.crt: {}",
                           X509_verify_cert_error_string(X509_STORE_CTX_get_error(path.get()))));
  }
  return {};
}

}  // namespace

Result<std::vector<std::string>> certificates_of_pem(const std::string& pem) {
  std::vector<std::string> out;
  const BioPtr in = reading(pem);
  while (true) {
    ERR_clear_error();
    const CertPtr certificate(PEM_read_bio_X509(in.get(), nullptr, nullptr, nullptr));
    if (!certificate) {
      const bool at_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
      ERR_clear_error();
      if (!at_end) return bad("a certificate in PEM that cannot be read");
      break;
    }
    auto der = to_der(certificate.get());
    if (!der) return std::unexpected(der.error());
    out.push_back(std::move(*der));
  }
  if (out.empty()) return bad("no certificate in PEM");
  return out;
}

Result<std::string> pem_of(const std::vector<std::string>& der) {
  const BioPtr out(BIO_new(BIO_s_mem()));
  for (const auto& one : der) {
    const CertPtr certificate = parse(one);
    if (!certificate) return bad("a certificate in DER that cannot be read");
    if (PEM_write_bio_X509(out.get(), certificate.get()) != 1) return fail_openssl("encoding a certificate");
  }
  return text_of(out);
}

Result<std::string> pem_of_key(const EVP_PKEY* key) {
  const BioPtr out(BIO_new(BIO_s_secmem()));
  if (!out || PEM_write_bio_PKCS8PrivateKey(out.get(), key, nullptr, nullptr, 0, nullptr, nullptr) != 1)
    return fail_openssl("encoding a key");
  return text_of(out);
}

Result<std::string> from_base64(const std::string& text) {
  if (text.size() % 4 != 0) return bad("no base64");
  std::string out(text.size() / 4 * 3, '\0');
  const int length =
      EVP_DecodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                      reinterpret_cast<const unsigned char*>(text.data()), static_cast<int>(text.size()));
  if (length < 0) return bad("no base64");
  const size_t padding = text.ends_with("==") ? 2 : text.ends_with("=") ? 1 : 0;
  out.resize(static_cast<size_t>(length) - padding);
  return out;
}

Result<int64_t> not_after_of(const std::string& der) {
  const CertPtr certificate = parse(der);
  if (!certificate) return bad("a certificate in DER that cannot be read");
  return seconds_of(X509_get0_notAfter(certificate.get()));
}

Result<RootPem> make_root_pem(const std::string& id) {
  const auto key = make_p256_key();
  if (!key) return std::unexpected(key.error());
  const auto certificate = make_root_certificate(key->get(), id);
  if (!certificate) return std::unexpected(certificate.error());
  const auto der = to_der(certificate->get());
  if (!der) return std::unexpected(der.error());
  auto certificate_pem = pem_of({*der});
  auto key_pem = pem_of_key(key->get());
  if (!certificate_pem) return std::unexpected(certificate_pem.error());
  if (!key_pem) return std::unexpected(key_pem.error());
  return RootPem{std::move(*certificate_pem), std::move(*key_pem)};
}

Result<Authority> read_authority(const std::string& tls_crt, const std::string& tls_key,
                                 const std::string& ca_crt, int64_t now) {
  auto chain = certificates_of_pem(tls_crt);
  if (!chain) return bad("tls.crt: " + *chain.error().detail);
  Authority authority;
  authority.certificate = parse(chain->front());
  X509* issuer = authority.certificate.get();
  if (X509_check_ca(issuer) != 1) return bad("tls.crt: the first certificate is not a CA's");
  if ((X509_get_extension_flags(issuer) & EXFLAG_KUSAGE) != 0 &&
      (X509_get_key_usage(issuer) & KU_KEY_CERT_SIGN) == 0) {
    return bad("tls.crt: its key usage does not let it sign certificates");
  }
  const BioPtr key = reading(tls_key);
  authority.key.reset(PEM_read_bio_PrivateKey(key.get(), nullptr, nullptr, nullptr));
  if (!authority.key) return bad("tls.key: no private key in PEM without a password");
  if (X509_check_private_key(issuer, authority.key.get()) != 1)
    return bad("tls.key is not the key of tls.crt");
  auto id = sha256_hex(chain->front());
  if (!id) return std::unexpected(id.error());
  authority.id = std::move(*id);

  if (!ca_crt.empty()) {
    auto roots = certificates_of_pem(ca_crt);
    if (!roots) return bad("ca.crt: " + *roots.error().detail);
    authority.roots = std::move(*roots);
  } else if (const CertPtr last = parse(chain->back()); is_self_signed(last.get())) {
    authority.roots.push_back(chain->back());
  } else {
    return bad("ca.crt is missing, and tls.crt does not end with a root");
  }
  for (auto& one : *chain) {
    if (std::ranges::find(authority.roots, one) == authority.roots.end())
      authority.intermediates.push_back(std::move(one));
  }
  if (auto ok = check_path(authority, now); !ok) return std::unexpected(ok.error());
  return authority;
}

}  // namespace weir::agent

// The checks of csr.h.
#include "agent/identity/csr.h"

#include <openssl/err.h>

namespace weir::agent {
namespace {

constexpr size_t kCsrMaxBytes = 8 * 1024;

std::unexpected<Error> refuse(std::string why) {
  ERR_clear_error();
  return fail(Source::peer, Reason::certificate_malformed, "certificate request: " + std::move(why));
}

struct ExtensionsDeleter {
  void operator()(STACK_OF(X509_EXTENSION) * list) const {
    sk_X509_EXTENSION_pop_free(list, X509_EXTENSION_free);
  }
};

}  // namespace

Result<KeyPtr> check_csr(std::string_view der, std::string_view identity) {
  if (der.size() > kCsrMaxBytes) return refuse("longer than 8 KiB");
  const auto* at = reinterpret_cast<const unsigned char*>(der.data());
  const auto* end = at + der.size();
  const RequestPtr request(d2i_X509_REQ(nullptr, &at, static_cast<long>(der.size())));
  if (!request || at != end) return refuse("no PKCS #10 request");
  EVP_PKEY* key = X509_REQ_get0_pubkey(request.get());
  if (!is_p256(key)) return refuse("its key is not ECDSA P-256");
  if (X509_REQ_verify(request.get(), key) != 1) return refuse("not signed by its own key");

  const std::unique_ptr<STACK_OF(X509_EXTENSION), ExtensionsDeleter> extensions(
      X509_REQ_get_extensions(request.get()));
  if (!extensions) return refuse("no subjectAltName");
  int critical = 0;  // -1: absent, -2: there twice
  const NamesPtr names(static_cast<GENERAL_NAMES*>(
      X509V3_get_d2i(extensions.get(), NID_subject_alt_name, &critical, nullptr)));
  if (!names) return refuse(critical == -2 ? "two subjectAltNames" : "no subjectAltName");
  if (sk_GENERAL_NAME_num(names.get()) != 1) return refuse("not exactly one name");
  const GENERAL_NAME* name = sk_GENERAL_NAME_value(names.get(), 0);
  if (name->type != GEN_URI) return refuse("its name is no URI");
  const ASN1_IA5STRING* uri = name->d.uniformResourceIdentifier;
  const std::string_view asked(reinterpret_cast<const char*>(ASN1_STRING_get0_data(uri)),
                               static_cast<size_t>(ASN1_STRING_length(uri)));
  if (asked != identity) return refuse("it names another identity than the one asked for");

  EVP_PKEY_up_ref(key);
  return KeyPtr(key);
}

}  // namespace weir::agent

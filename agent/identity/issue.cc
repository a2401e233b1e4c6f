// Profiles of leaves and roots. See issue.h.
#include "agent/identity/issue.h"

#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <utility>

namespace weir::agent {
namespace {

constexpr int64_t kSkewSeconds = 60;
constexpr long kRootLifeSeconds = 10L * 365 * 24 * 3600;

}  // namespace

int64_t seconds_of(const ASN1_TIME* time) {
  std::tm parts{};
  ASN1_TIME_to_tm(time, &parts);
  return ::timegm(&parts);
}

Result<std::string> sha256_hex(std::string_view bytes) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int length = 0;
  if (EVP_Digest(bytes.data(), bytes.size(), digest, &length, EVP_sha256(), nullptr) != 1)
    return fail_openssl("SHA-256");
  std::string hex;
  for (unsigned int i = 0; i < length; ++i) hex += fmt::format("{:02x}", digest[i]);
  return hex;
}

Result<std::string> hash_of_roots(const std::vector<std::string>& der) {
  std::string all;
  for (const auto& root : der) all += fmt::format("{}:", root.size()) + root;
  return sha256_hex(all);
}

Result<IssuedCertificate> issue_leaf(const Issuer& issuer, EVP_PKEY* leaf_key,
                                     const std::string& subject_alt_name, std::chrono::seconds life,
                                     int64_t now) {
  IssuedCertificate issued;
  issued.not_after =
      std::min<int64_t>(now + life.count(), seconds_of(X509_get0_notAfter(issuer.certificate)));
  if (issued.not_after <= now)
    return fail(Source::agent, Reason::bad_config, "the root that would sign has expired");
  const CertPtr leaf(X509_new());
  if (!leaf) return fail_openssl("making a certificate");
  X509* x = leaf.get();
  X509_set_version(x, X509_VERSION_3);
  if (auto ok = set_random_serial(x); !ok) return std::unexpected(ok.error());
  ASN1_TIME_set(X509_getm_notBefore(x), now - kSkewSeconds);
  ASN1_TIME_set(X509_getm_notAfter(x), issued.not_after);
  X509_set_issuer_name(x, X509_get_subject_name(issuer.certificate));
  X509_set_pubkey(x, leaf_key);
  for (const auto& [nid, value] :
       {std::pair<int, std::string>{NID_subject_alt_name, "critical," + subject_alt_name},
        {NID_basic_constraints, "critical,CA:FALSE"},
        {NID_key_usage, "critical,digitalSignature"},
        {NID_ext_key_usage, "serverAuth,clientAuth"},
        {NID_subject_key_identifier, "hash"},
        {NID_authority_key_identifier, "keyid"}}) {
    if (auto ok = add_extension(x, issuer.certificate, nid, value); !ok) return std::unexpected(ok.error());
  }
  if (X509_sign(x, issuer.key, EVP_sha256()) == 0) return fail_openssl("signing a certificate");
  auto der = to_der(x);
  if (!der) return std::unexpected(der.error());
  issued.chain.push_back(std::move(*der));
  issued.chain.insert(issued.chain.end(), issuer.intermediates.begin(), issuer.intermediates.end());
  return issued;
}

std::string root_stamp(int64_t now) {
  const auto seconds = static_cast<std::time_t>(now);
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  char text[32] = {};
  std::strftime(text, sizeof(text), "%Y%m%dt%H%M%S", &parts);
  return text;
}

Result<CertPtr> make_root_certificate(EVP_PKEY* key, const std::string& id) {
  CertPtr certificate(X509_new());
  if (!certificate) return fail_openssl("making a certificate");
  X509* x = certificate.get();
  X509_set_version(x, X509_VERSION_3);
  if (auto ok = set_random_serial(x); !ok) return std::unexpected(ok.error());
  X509_gmtime_adj(X509_getm_notBefore(x), -kSkewSeconds);
  X509_gmtime_adj(X509_getm_notAfter(x), kRootLifeSeconds);
  X509_NAME* name = X509_get_subject_name(x);
  const auto add = [&](const char* field, const std::string& value) {
    X509_NAME_add_entry_by_txt(name, field, MBSTRING_UTF8,
                               reinterpret_cast<const unsigned char*>(value.c_str()), -1, -1, 0);
  };
  add("O", "Weir");
  add("CN", "weir root " + id);
  X509_set_issuer_name(x, name);
  X509_set_pubkey(x, key);
  // RFC 5280 4.2.1.9, 4.2.1.3; X.509-SVID section 4.
  for (const auto& [nid, value] : {std::pair{NID_basic_constraints, "critical,CA:TRUE,pathlen:0"},
                                   std::pair{NID_key_usage, "critical,keyCertSign,cRLSign"},
                                   std::pair{NID_subject_key_identifier, "hash"}}) {
    if (auto ok = add_extension(x, x, nid, value); !ok) return std::unexpected(ok.error());
  }
  if (X509_sign(x, key, EVP_sha256()) == 0) return fail_openssl("signing a root");
  return certificate;
}

}  // namespace weir::agent

// Issuing leaves and versioning the bundle. See embedded_ca.h.
#include "agent/identity/embedded_ca.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <ctime>

#include "agent/identity/csr.h"
#include "agent/loop/files.h"

namespace weir::agent {
namespace {

constexpr int64_t kSkewSeconds = 60;

Result<std::string> hash_of(const std::vector<std::string>& roots) {
  std::string all;
  for (const auto& root : roots) all += fmt::format("{}:", root.size()) + root;
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int length = 0;
  if (EVP_Digest(all.data(), all.size(), digest, &length, EVP_sha256(), nullptr) != 1)
    return fail_openssl("SHA-256");
  std::string hex;
  for (unsigned int i = 0; i < length; ++i) hex += fmt::format("{:02x}", digest[i]);
  return hex;
}

int64_t seconds_of(const ASN1_TIME* time) {
  std::tm parts{};
  ASN1_TIME_to_tm(time, &parts);
  return ::timegm(&parts);
}

}  // namespace

Result<std::unique_ptr<EmbeddedCa>> EmbeddedCa::open(EmbeddedCaOptions options) {
  if (auto ok = ensure_root(options.ca_dir); !ok) return std::unexpected(ok.error());
  std::unique_ptr<EmbeddedCa> ca(new EmbeddedCa(std::move(options)));
  if (auto ok = ca->reload(); !ok) return std::unexpected(ok.error());
  return ca;
}

Result<bool> EmbeddedCa::reload() {
  auto roots = read_roots(options_.ca_dir);
  if (!roots) return std::unexpected(roots.error());
  if (roots->empty()) {
    return fail(Source::agent, Reason::bad_config, options_.ca_dir.string() + " holds no root any more");
  }
  const auto before = bundle();
  roots_.swap(*roots);
  const bool changed = bundle() != before;
  if (changed) {
    if (auto ok = settle_version(); !ok) {
      roots_.swap(*roots);
      return std::unexpected(ok.error());
    }
  }
  return changed;
}

std::vector<std::string> EmbeddedCa::bundle() const {
  std::vector<std::string> out;
  for (const auto& root : roots_) out.push_back(root.der);
  return out;
}

Status EmbeddedCa::settle_version() {
  const auto hash = hash_of(bundle());
  if (!hash) return std::unexpected(hash.error());
  uint64_t version = version_;
  std::string known;
  if (const auto kept = read_small_file(options_.version_file)) {
    const char* end = kept->data() + kept->size();
    const auto [at, error] = std::from_chars(kept->data(), end, version);
    if (error == std::errc() && at != end) known.assign(at + 1, end);
  }
  if (known == *hash && version >= version_) {
    version_ = version;
    return {};
  }
  version_ = std::max(version, version_) + 1;
  return write_atomically(options_.version_file, fmt::format("{} {}", version_, *hash), 0600);
}

void EmbeddedCa::sign(const std::string& identity, const std::string& csr, Done done) {
  done(issue(identity, csr));
}

Result<IssuedCertificate> EmbeddedCa::issue(const std::string& identity, const std::string& csr) const {
  const auto key = check_csr(csr, identity);
  if (!key) return std::unexpected(key.error());
  const int64_t now = std::time(nullptr);
  const Root* root = signing_root(roots_, now);
  if (root == nullptr) return fail(Source::agent, Reason::bad_config, "no root has a key to sign with");

  IssuedCertificate issued;
  issued.not_after = std::min<int64_t>(now + options_.certificate_life.count(),
                                       seconds_of(X509_get0_notAfter(root->certificate.get())));
  const CertPtr leaf(X509_new());
  if (!leaf) return fail_openssl("making a certificate");
  X509* x = leaf.get();
  X509_set_version(x, X509_VERSION_3);
  if (auto ok = set_random_serial(x); !ok) return std::unexpected(ok.error());
  ASN1_TIME_set(X509_getm_notBefore(x), now - kSkewSeconds);
  ASN1_TIME_set(X509_getm_notAfter(x), issued.not_after);
  X509_set_issuer_name(x, X509_get_subject_name(root->certificate.get()));
  X509_set_pubkey(x, key->get());
  // The identity is checked: it equals one the agent derived, so no comma or newline can add to the extension's text.
  for (const auto& [nid, value] :
       {std::pair<int, std::string>{NID_subject_alt_name, "critical,URI:" + identity},
        {NID_basic_constraints, "critical,CA:FALSE"},
        {NID_key_usage, "critical,digitalSignature"},
        {NID_ext_key_usage, "serverAuth,clientAuth"},
        {NID_subject_key_identifier, "hash"},
        {NID_authority_key_identifier, "keyid:always"}}) {
    if (auto ok = add_extension(x, root->certificate.get(), nid, value); !ok)
      return std::unexpected(ok.error());
  }
  if (X509_sign(x, root->key.get(), EVP_sha256()) == 0) return fail_openssl("signing a certificate");
  auto der = to_der(x);
  if (!der) return std::unexpected(der.error());
  issued.chain.push_back(std::move(*der));
  return issued;
}

}  // namespace weir::agent

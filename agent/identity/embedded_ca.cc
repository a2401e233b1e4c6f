// Issuing leaves and versioning the bundle. See embedded_ca.h.
#include "agent/identity/embedded_ca.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <ctime>

#include "agent/identity/csr.h"
#include "agent/identity/issue.h"
#include "agent/loop/files.h"

namespace weir::agent {

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
  out.reserve(roots_.size());
  for (const auto& root : roots_) out.push_back(root.der);
  return out;
}

Status EmbeddedCa::settle_version() {
  const auto hash = hash_of_roots(bundle());
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

  return issue_leaf({root->certificate.get(), root->key.get(), {}}, key->get(), "URI:" + identity,
                    options_.certificate_life, now);
}

}  // namespace weir::agent

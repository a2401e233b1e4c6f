#pragma once
// The agent as its own certificate authority: signs X.509-SVIDs with the newest root of --ca-dir, and knows the trust
// bundle. The single-machine default of mesh-protocol.md "Who signs".
//
// The bundle's version rises with every change of the set of roots and survives restarts (kept with a hash of the
// bundle in the state directory), as lanes, tickets and cached chains are scoped by it.
// Owner: the app, which calls reload() when the directory changed. Thread: the loop's.
#include <filesystem>
#include <string>
#include <vector>

#include "agent/identity/roots.h"
#include "agent/identity/signer.h"

namespace weir::agent {

struct EmbeddedCaOptions {
  std::filesystem::path ca_dir;
  std::filesystem::path version_file;  // where the bundle's version is kept
  std::chrono::seconds certificate_life{24 * 3600};
};

class EmbeddedCa : public Signer {
 public:
  // Makes the first root if there is none. Errors name the file.
  static Result<std::unique_ptr<EmbeddedCa>> open(EmbeddedCaOptions options);

  // True when the set of roots changed. On error everything stays as it was.
  Result<bool> reload();

  // Leaf: P-256 key of the request, the one URI SAN, critical as there is no subject, not before a minute ago, EKU
  // client and server (X.509-SVID sections 3 to 5).
  void sign(const std::string& identity, const std::string& csr, Done done) override;

  uint64_t bundle_version() const { return version_; }
  std::vector<std::string> bundle() const;  // DER
  const std::vector<Root>& roots() const { return roots_; }

 private:
  explicit EmbeddedCa(EmbeddedCaOptions options) : options_(std::move(options)) {}
  Result<IssuedCertificate> issue(const std::string& identity, const std::string& csr) const;
  Status settle_version();

  EmbeddedCaOptions options_;
  std::vector<Root> roots_;
  uint64_t version_ = 0;
};

}  // namespace weir::agent

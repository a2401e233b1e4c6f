#pragma once
// A trust bundle: a trust domain with its roots, parsed. One object for each bundle that came, with a number that no other
// of this process has: what was judged by one bundle is told from what was judged by another by that number alone,
// whatever version its source gave it.
// Owner: the config thread's CertStore, shared with Contexts and workers. Thread: immutable, any.
#include <openssl/base.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "nodeproxy/base/error.h"

namespace weir::tls {

using WallTime = std::chrono::system_clock::time_point;

struct Trust {
  std::string domain;
  uint64_t version = 0;
  std::vector<std::string> roots;  // DER

  bool operator==(const Trust&) const = default;
};

class Bundle {
 public:
  // bad_config: no root, or one that is not a certificate.
  static Result<std::shared_ptr<const Bundle>> make(Trust trust);
  ~Bundle();

  const Trust& trust() const { return trust_; }
  const std::string& domain() const { return trust_.domain; }
  uint64_t number() const { return number_; }  // later ones have higher numbers; never 0
  X509_STORE* roots() const { return roots_.get(); }

 private:
  explicit Bundle(Trust trust);

  Trust trust_;
  uint64_t number_;
  bssl::UniquePtr<X509_STORE> roots_;
};

}  // namespace weir::tls

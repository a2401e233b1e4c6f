#pragma once
// Who signs certificates: the embedded CA now; a controller or an external signer later, hence the answer by callback.
// Before a Signer is asked, serve/ and the app have made sure that the identity is one of a pod of this node.
// Thread: the loop's; the callback comes there too, at once or later, exactly once.
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "nodeproxy/base/error.h"

namespace weir::agent {

struct IssuedCertificate {
  std::vector<std::string> chain;  // DER, leaf first, without the root
  int64_t not_after = 0;           // Unix seconds
};

class Signer {
 public:
  using Done = std::function<void(Result<IssuedCertificate>)>;

  virtual ~Signer() = default;
  // `csr`: PKCS #10, DER. An error of Source::peer is the request's fault and final; others are worth another try.
  virtual void sign(const std::string& identity, const std::string& csr, Done done) = 0;
};

}  // namespace weir::agent

#pragma once
// The controller's own TLS certificate, signed by the mesh's root under the names that agents know it by. gRPC watches
// files for changes, so key and chain lie in one "file" of memory that is replaced as a whole: no disk sees the key.
// Owner: the app. Thread: the loop's; gRPC reads the path from its own. Lifetime: outlives the gRPC server.
#include <chrono>
#include <cstdint>
#include <string>

#include "agent/identity/authority.h"
#include "nodeproxy/base/fd.h"

namespace weir::agent::controller {

class ServerCertificate {
 public:
  // Makes a new one when there is none, when half its life is over, or when another authority signs now. True: it did.
  Result<bool> renew(const Authority& authority, std::chrono::seconds life, int64_t now);

  // Of the key and the chain, both. Empty until renewed.
  const std::string& path() const { return path_; }
  int64_t not_after() const { return not_after_; }

 private:
  Status write(const std::string& pem);

  Fd fd_;  // keeps its number, which is in path_
  std::string path_, authority_id_;
  int64_t renew_at_ = 0, not_after_ = 0;
};

}  // namespace weir::agent::controller

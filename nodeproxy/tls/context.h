#pragma once
// What handshakes of one identity need: key, chain and trust, immutable, one object per (certificate generation, trust
// version). Sessions take it by shared pointer, so a rotated-out Context lives exactly as long as its last handshake.
// TLS 1.3 only; X25519 then P-256; ECDSA P-256 signatures; no tickets, early data, compression or renegotiation.
// Resumption, when it comes, keeps its ticket key and its session cache in here: that is the whole scoping rule.
// Owner: CertStore on the config thread, handed to workers by message. Thread: immutable, any.
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "nodeproxy/base/error.h"
#include "nodeproxy/tls/identity.h"
#include "nodeproxy/tls/keys.h"

namespace weir::tls {

using WallTime = std::chrono::system_clock::time_point;

struct Trust {
  std::string domain;
  uint64_t version = 0;
  std::vector<std::string> roots;  // DER
};

class Context {
 public:
  struct Internals;  // the two SSL_CTX and the parsed roots: session.cc and context.cc only

  // `chain` is DER, leaf first. Refuses with bad_config: no root or one that does not parse, a leaf that is not for
  // this key or identity, or breaks the leaf rules. The chain is not required to lead to `trust`: during a rotation of
  // roots it is the peers who judge it. Takes about 100 µs; config thread.
  static Result<std::shared_ptr<const Context>> make(const SpiffeId& identity,
                                                     const std::shared_ptr<const PrivateKey>& key,
                                                     const std::vector<std::string>& chain,
                                                     std::shared_ptr<const Trust> trust);
  ~Context();

  const SpiffeId& identity() const { return identity_; }
  const Trust& trust() const { return *trust_; }
  uint64_t trust_version() const { return trust_->version; }
  // Process-wide number of the certificate generation: lanes are keyed by it and by trust_version().
  uint64_t generation() const { return generation_; }
  WallTime not_before() const { return not_before_; }
  WallTime not_after() const { return not_after_; }  // the leaf's
  const Internals& internals() const { return *internals_; }

 private:
  Context(const SpiffeId& identity, std::shared_ptr<const Trust> trust);

  SpiffeId identity_;
  std::shared_ptr<const Trust> trust_;
  uint64_t generation_ = 0;
  WallTime not_before_, not_after_;
  std::unique_ptr<Internals> internals_;
};

}  // namespace weir::tls

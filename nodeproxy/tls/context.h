#pragma once
// What handshakes of one identity need: key, chain and trust, immutable, one object per (certificate generation, trust
// bundle). Sessions take it by shared pointer, so a rotated-out Context lives exactly as long as its last handshake.
// TLS 1.3 only; X25519 then P-256; ECDSA P-256 signatures; no early data, compression or renegotiation.
// The key of its tickets is in here, and diallers keep tickets by its generation: nothing is resumed under another
// identity, certificate or bundle than it began under, by either side.
// Owner: CertStore on the config thread, handed to workers by message. Thread: immutable, any.
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "nodeproxy/base/error.h"
#include "nodeproxy/tls/bundle.h"
#include "nodeproxy/tls/identity.h"
#include "nodeproxy/tls/keys.h"

namespace weir::tls {

class Context {
 public:
  struct Internals;  // the two SSL_CTX and the ticket key: for the files of tls::Session and context.cc only

  // `chain` is DER, leaf first. Refuses with bad_config: a leaf that is not for this key or identity, or breaks the leaf
  // rules. The chain is not required to lead to `bundle`: during a rotation of roots it is the peers who judge it.
  // Takes about 100 µs; config thread.
  static Result<std::shared_ptr<const Context>> make(const SpiffeId& identity,
                                                     const std::shared_ptr<const PrivateKey>& key,
                                                     const std::vector<std::string>& chain,
                                                     std::shared_ptr<const Bundle> bundle);
  ~Context();

  const SpiffeId& identity() const { return identity_; }
  const Bundle& bundle() const { return *bundle_; }
  uint64_t trust_version() const { return bundle_->trust().version; }
  // Process-wide number of this Context: lanes and tickets are keyed by it. Another certificate has another, and the same
  // one under another bundle.
  uint64_t generation() const { return generation_; }
  WallTime not_before() const { return not_before_; }
  WallTime not_after() const { return not_after_; }  // the leaf's
  const Internals& internals() const { return *internals_; }

 private:
  Context(const SpiffeId& identity, std::shared_ptr<const Bundle> bundle);

  SpiffeId identity_;
  std::shared_ptr<const Bundle> bundle_;
  uint64_t generation_ = 0;
  WallTime not_before_, not_after_;
  std::unique_ptr<Internals> internals_;
};

}  // namespace weir::tls

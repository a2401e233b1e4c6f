#pragma once
// The peers' chains that this worker has followed to a root: a peer that comes again with the same certificates costs a
// hash instead of path building and signature checks (mesh-protocol.md). What depends on nothing but the
// certificates and the bundle is remembered, under a hash of all of them and the bundle's number; a refusal never is. Time
// is judged each time, and whether it is the peer that was expected is its caller's question.
// Owner: a worker; one for all its sessions. Thread: that worker. Bounded: the least lately used goes.
#include <openssl/base.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <list>
#include <unordered_map>

#include "nodeproxy/base/limits.h"
#include "nodeproxy/tls/verify.h"

namespace weir::tls {

class VerifiedChains {
 public:
  using Clock = WallTime (*)();
  explicit VerifiedChains(size_t most = limits::verified_chains,
                          Clock clock = &std::chrono::system_clock::now)
      : most_(most), clock_(clock) {}

  // As verify_chain() answers at `at`.
  Result<Verified> judge(const STACK_OF(CRYPTO_BUFFER) * sent, const Bundle& bundle, WallTime at);
  // The wall clock by which this worker's sessions judge.
  WallTime now() const { return clock_(); }

  size_t size() const { return chains_.size(); }
  uint64_t known() const { return known_; }        // answered from memory
  uint64_t followed() const { return followed_; }  // to a root, or refused

 private:
  using Key = std::array<uint8_t, 32>;
  struct Hash {
    size_t operator()(const Key& key) const {
      size_t hash = 0;
      std::memcpy(&hash, key.data(), sizeof hash);
      return hash;
    }
  };
  struct Chain {
    Key key;
    Verified verified;
  };
  static Key key_of(const STACK_OF(CRYPTO_BUFFER) * sent, const Bundle& bundle);

  size_t most_;
  Clock clock_;
  std::list<Chain> chains_;  // the lately used first
  std::unordered_map<Key, std::list<Chain>::iterator, Hash> by_key_;
  uint64_t known_ = 0, followed_ = 0;
};

}  // namespace weir::tls

// See chains.h.
#include "nodeproxy/tls/chains.h"

#include <openssl/pool.h>
#include <openssl/sha.h>

namespace weir::tls {

// Each part with its length before it: no two lists of certificates are the same bytes.
VerifiedChains::Key VerifiedChains::key_of(const STACK_OF(CRYPTO_BUFFER) * sent, const Bundle& bundle) {
  SHA256_CTX hash;
  SHA256_Init(&hash);
  const uint64_t number = bundle.number();
  SHA256_Update(&hash, &number, sizeof number);
  for (size_t i = 0; i < sk_CRYPTO_BUFFER_num(sent); ++i) {
    const CRYPTO_BUFFER* part = sk_CRYPTO_BUFFER_value(sent, i);
    const uint64_t bytes = CRYPTO_BUFFER_len(part);
    SHA256_Update(&hash, &bytes, sizeof bytes);
    SHA256_Update(&hash, CRYPTO_BUFFER_data(part), bytes);
  }
  Key key;
  SHA256_Final(key.data(), &hash);
  return key;
}

Result<Verified> VerifiedChains::judge(const STACK_OF(CRYPTO_BUFFER) * sent, const Bundle& bundle,
                                       WallTime at) {
  const Key key = key_of(sent, bundle);
  if (const auto found = by_key_.find(key); found != by_key_.end()) {
    const Verified& verified = found->second->verified;
    if (valid_at(at, verified.not_before, verified.not_after)) {
      ++known_;
      chains_.splice(chains_.begin(), chains_, found->second);
      return verified;
    }
    // Over, or not yet: what exactly is refused, or whether another path is valid, verify_chain() knows.
    chains_.erase(found->second);
    by_key_.erase(found);
  }
  ++followed_;
  Result<Verified> verified = verify_chain(sent, bundle, at);
  if (!verified || most_ == 0) return verified;
  if (chains_.size() >= most_) {
    by_key_.erase(chains_.back().key);
    chains_.pop_back();
  }
  chains_.push_front({key, *verified});
  by_key_.emplace(key, chains_.begin());
  return verified;
}

}  // namespace weir::tls

#pragma once
// The proxy's certificates: per identity a key, a chain and the Context made of them, renewed at half life by wall
// clock with a monotonic guard. The store decides when and with what key; asking the agent and handing Contexts to
// workers is its user's. A failed renewal backs off and serves what there is until it expires; then get() is null and
// connections are refused. Never plaintext.
// Owner and thread: the config thread. Lifetime: the process; Contexts outlive it in sessions.
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "nodeproxy/base/error.h"
#include "nodeproxy/tls/context.h"
#include "nodeproxy/tls/verify.h"

namespace weir::tls {

// Both clocks at one moment: certificates speak of wall time, and wall clocks jump.
struct Now {
  WallTime wall;
  std::chrono::steady_clock::time_point steady;
  static Now read() { return {std::chrono::system_clock::now(), std::chrono::steady_clock::now()}; }
};

struct SigningRequest {
  std::string identity;
  std::string csr;  // DER
};

// The longest that a ticket key is in use; a certificate of 24 h is renewed about then.
inline constexpr auto kContextLife = std::chrono::hours(14);

class CertStore {
 public:
  explicit CertStore(uint64_t jitter_seed) : random_(jitter_seed) {}

  // Roots changed: every identity gets a Context with them. What has no chain yet waits for it.
  Status set_trust(Trust trust);
  const std::shared_ptr<const Bundle>& bundle() const { return bundle_; }  // null: none yet
  // An identity is needed (again): counted. Its first request comes from the next due(). bad_config: not a SPIFFE ID.
  Status add(const std::string& identity);
  // Not needed by this user any more; with the last one key and chain go.
  void remove(const std::string& identity);

  // The requests to send now: new identities, half-lives that passed, retries. Each has a key of its own, which takes
  // effect with its chain; an unanswered request is repeated after 10 s, with the same key. A Context that has served for
  // kContextLife, of a certificate that lives longer than usual, is made anew meanwhile: so its ticket key ends.
  std::vector<SigningRequest> due(Now now);
  // When to call due() again.
  std::chrono::steady_clock::time_point next_due() const;

  // The answer to a request: the Context to hand out, made of the pending key. bad_config names what is wrong; then
  // the next due() is later by the back-off. One more answer for the key that serves already changes nothing.
  Result<std::shared_ptr<const Context>> install(const std::string& identity,
                                                 const std::vector<std::string>& chain, Now now);
  // The signer refused; the next request comes after a back-off of 1 s doubling to 60 s.
  void refused(const std::string& identity, Now now);

  // The Context that serves; null: none yet, no trust yet, or expired by either clock.
  std::shared_ptr<const Context> get(const std::string& identity, Now now) const;

  struct View {
    std::string identity;
    std::optional<WallTime> not_after;
    uint32_t failures = 0;  // in a row; above 0 is an alarm
  };
  std::vector<View> view() const;  // for metrics, status

 private:
  struct Entry {
    uint32_t users = 0;
    std::shared_ptr<const PrivateKey> pending_key, key;
    std::vector<std::string> chain;
    std::shared_ptr<const Context> context;
    WallTime renew_wall;
    std::chrono::steady_clock::time_point due, expires;  // due: at once for a new one
    std::chrono::steady_clock::time_point made;          // context, with its ticket key
    uint32_t failures = 0;
  };
  Result<std::shared_ptr<const Context>> make(const std::string& identity,
                                              const std::shared_ptr<const PrivateKey>& key,
                                              const std::vector<std::string>& chain) const;
  static void back_off(Entry& entry, Now now);
  void remake(const std::string& identity, Entry& entry, Now now) const;

  std::map<std::string, Entry> entries_;
  std::shared_ptr<const Bundle> bundle_;
  std::mt19937_64 random_;
};

}  // namespace weir::tls

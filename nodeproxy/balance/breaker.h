#pragma once
// The circuit breaker of one service: how many connections, waiting requests and requests it has through this worker. What
// would be one too many is refused at once, which is kinder than a queue that only grows.
// Owner: ServiceUses. Thread: its worker's. Lifetime: longer than any Permit.
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "nodeproxy/base/permit.h"
#include "nodeproxy/config/traffic.h"

namespace weir::balance {

using weir::Permit;

enum class Use : uint8_t {
  connection,
  pending,  // a request that waits for a connection
  request,  // a request from its first try to its end
};

class Breaker {
 public:
  // One more, if it may be; it then counts until the permit is released.
  std::optional<Permit> enter(Use use, const config::CircuitBreaker& limits) {
    uint32_t& count = counts_[static_cast<size_t>(use)];
    if (count >= limit(use, limits)) return std::nullopt;
    ++count;
    return Permit(count);
  }
  uint32_t count(Use use) const { return counts_[static_cast<size_t>(use)]; }
  bool idle() const { return counts_ == std::array<uint32_t, 3>{}; }

 private:
  static uint32_t limit(Use use, const config::CircuitBreaker& limits) {
    switch (use) {
      case Use::connection: return limits.connections_max;
      case Use::pending: return limits.pending_max;
      case Use::request: return limits.requests_max;
    }
    return 0;
  }
  std::array<uint32_t, 3> counts_{};
};

}  // namespace weir::balance

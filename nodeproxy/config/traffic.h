#pragma once
// What a TrafficPolicy says of a service, and what a route may say instead, as the path reads it: defaults filled in,
// units in the names. The meaning is http.md "Resilience semantics".
// Thread: part of an immutable snapshot.
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace weir::config {

using Milliseconds = std::chrono::milliseconds;

// What a consistent-hashing balancer hashes.
struct HashKey {
  enum class Of : uint8_t { source_ip, header, cookie, query };
  Of of = Of::source_ip;
  std::string name;
};

// Per worker.
struct CircuitBreaker {
  uint32_t connections_max = 10'000;
  uint32_t pending_max = 1'024;
  uint32_t requests_max = 10'000;
};

struct Outlier {
  bool enabled = true;
  uint32_t consecutive_failures = 5;
  uint32_t success_rate_percent = 0;    // 0: not looked at
  uint32_t latency_factor_percent = 0;  // 0: not looked at
  Milliseconds interval{10'000}, base_ejection{30'000}, max_ejection{300'000};
  uint32_t ejected_percent_max = 50;
};

struct RetryBudget {
  uint32_t percent = 20;
  uint32_t minimum_per_second = 10;
};

struct Retry {
  uint32_t attempts = 1;  // beside the first; 0: none
  std::vector<uint16_t> statuses;
  std::vector<uint16_t> grpc_codes;
  std::vector<std::string> methods;  // for statuses and codes; empty: the idempotent ones
  Milliseconds backoff_base{25}, backoff_max{250};
};

// None: nothing is said; zero: it is said that there is no limit, which lifts one that the service has.
struct Timeouts {
  std::optional<Milliseconds> request, backend_request, idle;
};

// What a route says before what its service says. In the result none and zero are alike: no limit.
inline Timeouts effective(const Timeouts& route, const Timeouts& service) {
  return {route.request ? route.request : service.request,
          route.backend_request ? route.backend_request : service.backend_request,
          route.idle ? route.idle : service.idle};
}

struct PoolSettings {
  Milliseconds idle{300'000};
  Milliseconds age{0};  // 0: never
  uint32_t warm = 0;
  uint32_t requests_per_connection_max = 0;
};

struct Traffic {
  HashKey hash;
  Milliseconds slow_start{0};
  CircuitBreaker circuit_breaker;
  Outlier outlier;
  RetryBudget retry_budget;
  Retry retry;
  Timeouts timeouts;
  PoolSettings pool;
};

}  // namespace weir::config

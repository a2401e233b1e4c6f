#pragma once
// What a TrafficPolicy says of a service's traffic, and what a route may say instead. Nothing is filled in: 0 and unset
// are "not said", the proxy has the defaults (mesh.proto's Traffic).
// Owner: the objects. Thread: values. Source of the meaning: http.md "Resilience semantics".
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace weir::agent {

// Milliseconds; 0 is said: no limit.
struct Timeouts {
  std::optional<uint32_t> request_ms, backend_request_ms, idle_ms;
  bool operator==(const Timeouts&) const = default;
};

struct Retry {
  bool disabled = false;
  uint32_t attempts = 0;  // beside the first
  std::vector<uint32_t> statuses, grpc_codes;
  std::vector<std::string> methods;  // for statuses and codes
  uint32_t backoff_ms = 0, backoff_max_ms = 0;
  bool operator==(const Retry&) const = default;
};

// Of what a consistent-hashing balancer makes its choice.
struct HashKey {
  enum class Of : uint8_t { source_ip, header, cookie, query };
  Of of = Of::source_ip;
  std::string name;
  bool operator==(const HashKey&) const = default;
};

struct CircuitBreaker {
  uint32_t connections = 0, pending_requests = 0, requests = 0;
  bool operator==(const CircuitBreaker&) const = default;
};

struct OutlierDetection {
  bool disabled = false;
  uint32_t consecutive_failures = 0;
  uint32_t success_rate_percent = 0, latency_factor_percent = 0;
  uint32_t interval_ms = 0, base_ejection_ms = 0, max_ejection_ms = 0;
  uint32_t max_ejected_percent = 0;
  bool operator==(const OutlierDetection&) const = default;
};

struct RetryBudget {
  uint32_t percent = 0, min_per_second = 0;
  bool operator==(const RetryBudget&) const = default;
};

struct ConnectionPool {
  uint32_t idle_ms = 0, age_max_ms = 0, warm = 0, requests_per_connection_max = 0;
  bool operator==(const ConnectionPool&) const = default;
};

}  // namespace weir::agent

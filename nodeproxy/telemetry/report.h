#pragma once
// A copy of what one worker counts, taken on its thread for a scrape or a status.
// Thread: a value.
#include <array>
#include <chrono>
#include <string>
#include <vector>

#include "nodeproxy/telemetry/record.h"
#include "nodeproxy/telemetry/request_series.h"
#include "nodeproxy/telemetry/series.h"

namespace weir::telemetry {

// A live flow, for `weirctl` and the admin socket.
struct FlowView {
  std::string pod;  // uid of the local pod whose listener it came through
  uint32_t worker = 0;
  Facts facts;
  bool open = false;  // through to the other side
  uint64_t sent_bytes = 0, received_bytes = 0;
  std::chrono::nanoseconds age{};
};

// Outlier ejection of one service: how often and why, and who is out now. Endpoints are for people (/status), never
// labels of metrics.
enum class EjectionCause : uint8_t { consecutive_failures, success_rate, latency };
inline constexpr std::array<std::string_view, 3> kEjectionCauses{"consecutive_failures", "success_rate",
                                                                 "latency"};
struct EjectedEndpoint {
  Ip address;
  uint16_t service_port = 0;
  EjectionCause cause = EjectionCause::consecutive_failures;
  std::chrono::nanoseconds left{};  // until it is tried again
};
struct ServiceEjections {
  std::string service;  // "namespace/name"
  std::array<uint64_t, kEjectionCauses.size()> total{};
  std::vector<EjectedEndpoint> now;
};

// A service's circuit breaker: how often a limit was reached by what then was refused, and whether one is reached now.
enum class BreakerLimit : uint8_t { connections, pending, requests };
inline constexpr std::array<std::string_view, 3> kBreakerLimits{"connections", "pending", "requests"};
struct ServiceBreakers {
  std::string service;
  std::array<uint64_t, kBreakerLimits.size()> opened{};
};

// Connections that the worker keeps open towards other proxies and applications, busy or pooled.
enum class UpstreamKind : uint8_t { lane, http_1, http_2 };
inline constexpr std::array<std::string_view, 3> kUpstreamKinds{"lane", "http/1.1", "http/2"};

// What a source address may have of a worker; what it is refused beyond is counted by limit (net/shares.h, same order).
inline constexpr std::array<std::string_view, 4> kSourceLimits{"connections", "sessions", "handshakes",
                                                               "buffered_bytes"};

struct WorkerReport {
  std::vector<Row> rows;
  std::vector<RequestCounts> requests;
  WorkerCounters counters;
  uint64_t live_flows = 0;  // connections and sessions; accepted lanes are none
  uint64_t lanes_dialled = 0, lanes_accepted = 0, sessions_dialled = 0, sessions_accepted = 0;  // open now
  std::vector<ServiceEjections> ejections;
  std::vector<ServiceBreakers> breakers;
  std::array<uint64_t, kUpstreamKinds.size()> upstream_connections{};  // by UpstreamKind
  std::array<uint64_t, kSourceLimits.size()> source_refusals{};
  std::array<uint64_t, kReasonCount> accept_pauses{};
  struct PodFlows {
    std::string uid;
    uint64_t flows = 0;
  };
  std::vector<PodFlows> pods;
};

}  // namespace weir::telemetry

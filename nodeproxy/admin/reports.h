#pragma once
// What the proxy says of itself: Prometheus metrics, the JSON that weirctl reads, and the configuration dump.
// Pure: reports and a snapshot in, text out. Secrets cannot leak here, since neither holds any.
// Thread: any.
#include <string>
#include <vector>

#include "nodeproxy/config/agent_link.h"
#include "nodeproxy/config/snapshot.h"
#include "nodeproxy/telemetry/report.h"

namespace weir::admin {

struct CertificateView {
  std::string identity;
  int64_t not_after_unix_seconds = 0;  // 0: none yet
  std::string error;
};

struct ProcessView {
  std::vector<telemetry::WorkerReport> workers;
  std::vector<CertificateView> certificates;
  struct PodView {
    std::string uid, identity;
    bool accepting = false;
  };
  std::vector<PodView> pods;
  config::AgentStatus agent;
  uint64_t snapshot_version = 0;
  uint64_t log_lines_dropped = 0;
  std::string driver;
  std::string not_ready_because;  // empty: ready
  bool draining = false;
};

// Prometheus text format 0.0.4 (through prometheus-cpp's serializer).
std::string metrics_text(const ProcessView& view);
std::string status_json(const ProcessView& view);
std::string flows_json(const std::vector<telemetry::FlowView>& flows);
// {"edges": […]}: one for each reporter, source workload, destination workload, service, protocol and security. Those of
// HTTP have requests, failures, quantiles and the buckets they come from; those of "tcp" have connections.
std::string graph_json(const std::vector<telemetry::WorkerReport>& workers);
std::string config_json(const config::Snapshot& snapshot);

}  // namespace weir::admin

// Who talks to whom, for `weirctl graph`: rows summed over routes and principals into edges. See reports.h.
#include <map>
#include <nlohmann/json.hpp>
#include <tuple>

#include "nodeproxy/admin/reports.h"

namespace weir::admin {
namespace {

using nlohmann::json;
using telemetry::Histogram;

struct EdgeKey {
  std::string_view reporter, protocol, security;
  std::string source, destination, service;

  explicit EdgeKey(const telemetry::Labels& labels, std::string_view protocol)
      : reporter(telemetry::label(labels.reporter)),
        protocol(protocol),
        security(telemetry::label(labels.security)),
        source(labels.source.ns + "/" + labels.source.workload),
        destination(labels.destination.ns + "/" + labels.destination.workload),
        service(labels.service) {}
  auto operator<=>(const EdgeKey&) const = default;

  json to_json() const {
    return {{"reporter", reporter}, {"source", source},     {"destination", destination},
            {"service", service},   {"protocol", protocol}, {"security", security}};
  }
};

struct Connections {
  uint64_t opened = 0, closed = 0, failed = 0, sent_bytes = 0, received_bytes = 0;
};

// Buckets that hold something: [lower bound, upper bound, count], bounds in milliseconds, so that the reader can take
// the difference of two samples and find its own quantiles.
json buckets_of(const Histogram& durations) {
  json out = json::array();
  for (size_t i = 0; i < Histogram::kBuckets; ++i) {
    if (durations.counts()[i] == 0) continue;
    out.push_back({Histogram::lower_bound_seconds(i) * 1e3, Histogram::upper_bound_seconds(i) * 1e3,
                   durations.counts()[i]});
  }
  return out;
}

json request_edge(const EdgeKey& key, const telemetry::RequestCounts& sum) {
  json edge = key.to_json();
  edge["requests"] = sum.requests();
  edge["failures"] = sum.failures();
  edge["retries"] = sum.retries;
  edge["in_flight"] = sum.in_flight;
  edge["bytes_sent"] = sum.sent_bytes;
  edge["bytes_received"] = sum.received_bytes;
  edge["p50_ms"] = sum.durations.quantile_seconds(0.5) * 1e3;
  edge["p95_ms"] = sum.durations.quantile_seconds(0.95) * 1e3;
  edge["p99_ms"] = sum.durations.quantile_seconds(0.99) * 1e3;
  edge["buckets"] = buckets_of(sum.durations);
  return edge;
}

json connection_edge(const EdgeKey& key, const Connections& sum) {
  json edge = key.to_json();
  edge["connections"] = sum.opened + sum.failed;
  edge["failures"] = sum.failed;
  edge["open"] = sum.opened - sum.closed;
  edge["bytes_sent"] = sum.sent_bytes;
  edge["bytes_received"] = sum.received_bytes;
  return edge;
}

}  // namespace

std::string graph_json(const std::vector<telemetry::WorkerReport>& workers) {
  std::map<EdgeKey, telemetry::RequestCounts> requests;
  std::map<EdgeKey, Connections> connections;
  for (const telemetry::WorkerReport& worker : workers) {
    for (const telemetry::RequestCounts& row : worker.requests) {
      requests[EdgeKey(row.labels->ends, telemetry::label(row.labels->protocol))].add(row);
    }
    for (const telemetry::Row& row : worker.rows) {
      Connections& sum = connections[EdgeKey(row.labels, "tcp")];
      sum.opened += row.opened;
      sum.closed += row.closed;
      for (const uint64_t failed : row.failed) sum.failed += failed;
      sum.sent_bytes += row.sent_bytes;
      sum.received_bytes += row.received_bytes;
    }
  }
  json edges = json::array();
  for (const auto& [key, sum] : requests) edges.push_back(request_edge(key, sum));
  for (const auto& [key, sum] : connections) edges.push_back(connection_edge(key, sum));
  return json{{"edges", std::move(edges)}}.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
}

}  // namespace weir::admin

// The families of HTTP requests, and of what their upstreams do. See families.h.
#include "nodeproxy/admin/families.h"

namespace weir::admin {
namespace {

using telemetry::Histogram;
using telemetry::RequestCounts;
using telemetry::RequestLabels;
using telemetry::RequestOutcome;
using telemetry::WorkerReport;

MetricLabels request_labels(const RequestLabels& labels) {
  MetricLabels out = labels_of(labels.ends, telemetry::label(labels.protocol));
  out.push_back({"route", labels.route});
  return out;
}

void add_outcomes(Families& families, const MetricLabels& labels, const RequestCounts& row) {
  for (const RequestOutcome& outcome : row.outcomes) {
    MetricLabels with_outcome = labels;
    with_outcome.push_back({"response_class", std::string(outcome.class_label())});
    if (outcome.grpc != RequestOutcome::not_grpc) with_outcome.push_back({"grpc_code", outcome.grpc_label()});
    with_outcome.push_back({"reason", std::string(label(outcome.reason))});
    families.counter("weir_requests_total", "Requests that have ended.", std::move(with_outcome),
                     outcome.count);
  }
}

void add_durations(Families& families, const MetricLabels& labels, const Histogram& durations) {
  std::vector<double> bounds;
  bounds.reserve(Histogram::kExported);
  for (size_t i = 0; i < Histogram::kExported; ++i) bounds.push_back(Histogram::exported_bound_seconds(i));
  const auto cumulative = durations.cumulative();
  families.histogram("weir_request_duration_seconds",
                     "From a request's first byte to the last of its response.", labels, bounds,
                     {cumulative.begin(), cumulative.end()}, durations.count(), durations.sum_seconds());
}

template <typename Report>
auto merged(const std::vector<WorkerReport>& workers, const std::vector<Report> WorkerReport::* list) {
  std::map<std::string, std::vector<const Report*>> by_service;
  for (const WorkerReport& worker : workers) {
    for (const Report& report : worker.*list) by_service[report.service].push_back(&report);
  }
  return by_service;
}

}  // namespace

void add_requests(Families& families, const std::vector<WorkerReport>& workers) {
  std::map<std::vector<std::string>, std::pair<MetricLabels, RequestCounts>> rows;
  for (const WorkerReport& worker : workers) {
    for (const RequestCounts& row : worker.requests) {
      MetricLabels labels = request_labels(*row.labels);
      auto& [known, sum] = rows[key_of(labels)];
      known = std::move(labels);
      sum.add(row);
    }
  }
  for (const auto& [key, entry] : rows) {
    const auto& [labels, row] = entry;
    add_outcomes(families, labels, row);
    if (row.requests() > 0) add_durations(families, labels, row.durations);
    families.counter("weir_request_bytes_total", "Bytes of requests' bodies.", labels, row.sent_bytes);
    families.counter("weir_response_bytes_total", "Bytes of responses' bodies.", labels, row.received_bytes);
    families.counter("weir_request_retries_total", "Attempts beside the first.", labels, row.retries);
    families.gauge("weir_requests_in_flight", "Requests that have begun and not ended.", labels,
                   static_cast<double>(row.in_flight));
  }
}

void add_upstream(Families& families, const std::vector<WorkerReport>& workers) {
  for (const auto& [service, reports] : merged(workers, &WorkerReport::ejections)) {
    size_t now = 0;
    for (size_t cause = 0; cause < telemetry::kEjectionCauses.size(); ++cause) {
      uint64_t total = 0;
      for (const auto* report : reports) total += report->total[cause];
      families.counter(
          "weir_endpoint_ejections_total", "Endpoints taken out of balancing as outliers, per worker.",
          {{"destination_service", service}, {"cause", std::string(telemetry::kEjectionCauses[cause])}},
          total);
    }
    for (const auto* report : reports) now += report->now.size();
    families.gauge("weir_endpoints_ejected",
                   "Endpoints that are out of balancing now, counted by each worker.",
                   {{"destination_service", service}}, static_cast<double>(now));
  }
  for (const auto& [service, reports] : merged(workers, &WorkerReport::breakers)) {
    for (size_t limit = 0; limit < telemetry::kBreakerLimits.size(); ++limit) {
      uint64_t opened = 0;
      for (const auto* report : reports) opened += report->opened[limit];
      families.counter(
          "weir_circuit_breaker_open_total",
          "How often a circuit breaker said no, by its limit. Beyond `connections` a request waits first.",
          {{"destination_service", service}, {"limit", std::string(telemetry::kBreakerLimits[limit])}},
          opened);
    }
  }
  for (size_t kind = 0; kind < telemetry::kUpstreamKinds.size(); ++kind) {
    uint64_t open = 0;
    for (const WorkerReport& worker : workers) open += worker.upstream_connections[kind];
    families.gauge("weir_upstream_connections", "Open connections to other proxies and applications.",
                   {{"kind", std::string(telemetry::kUpstreamKinds[kind])}}, static_cast<double>(open));
  }
}

}  // namespace weir::admin

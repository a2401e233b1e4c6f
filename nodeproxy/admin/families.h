#pragma once
// Metric families as they are filled for one scrape, and the parts of metrics.cc. Thread: one scrape.
#include <prometheus/metric_family.h>

#include <map>
#include <string>
#include <vector>

#include "nodeproxy/telemetry/report.h"

namespace weir::admin {

using MetricLabels = std::vector<prometheus::ClientMetric::Label>;

class Families {
 public:
  void counter(const std::string& name, const std::string& help, MetricLabels labels, double value);
  void counter(const std::string& name, const std::string& help, MetricLabels labels, uint64_t value) {
    counter(name, help, std::move(labels), static_cast<double>(value));
  }
  void gauge(const std::string& name, const std::string& help, MetricLabels labels, double value);
  // `cumulative[i]` observations are at most `bounds[i]` seconds; `count` in all.
  void histogram(const std::string& name, const std::string& help, MetricLabels labels,
                 const std::vector<double>& bounds, const std::vector<uint64_t>& cumulative, uint64_t count,
                 double sum);
  // Prometheus text format 0.0.4.
  std::string text() const;

 private:
  void add(const std::string& name, prometheus::MetricType type, const std::string& help,
           prometheus::ClientMetric metric);

  std::map<std::string, prometheus::MetricFamily> families_;
};

// The labels of who talks to whom, as every family of traffic has them. `protocol`: "tcp" for connections.
MetricLabels labels_of(const telemetry::Labels& labels, std::string_view protocol);
// What makes two label sets one.
std::vector<std::string> key_of(const MetricLabels& labels);

// Requests, endpoints and breakers (metrics_requests.cc).
void add_requests(Families& families, const std::vector<telemetry::WorkerReport>& workers);
void add_upstream(Families& families, const std::vector<telemetry::WorkerReport>& workers);

}  // namespace weir::admin

// Filling and printing families. See families.h.
#include "nodeproxy/admin/families.h"

#include <prometheus/text_serializer.h>

#include <limits>

namespace weir::admin {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

void Families::add(const std::string& name, MetricType type, const std::string& help, ClientMetric metric) {
  MetricFamily& family = families_[name];
  family.name = name;
  family.type = type;
  family.help = help;
  family.metric.push_back(std::move(metric));
}

void Families::counter(const std::string& name, const std::string& help, MetricLabels labels, double value) {
  ClientMetric metric;
  metric.label = std::move(labels);
  metric.counter.value = value;
  add(name, MetricType::Counter, help, std::move(metric));
}

void Families::gauge(const std::string& name, const std::string& help, MetricLabels labels, double value) {
  ClientMetric metric;
  metric.label = std::move(labels);
  metric.gauge.value = value;
  add(name, MetricType::Gauge, help, std::move(metric));
}

void Families::histogram(const std::string& name, const std::string& help, MetricLabels labels,
                         const std::vector<double>& bounds, const std::vector<uint64_t>& cumulative,
                         uint64_t count, double sum) {
  ClientMetric metric;
  metric.label = std::move(labels);
  for (size_t i = 0; i < bounds.size(); ++i) {
    ClientMetric::Bucket bucket;
    bucket.cumulative_count = cumulative[i];
    bucket.upper_bound = bounds[i];
    metric.histogram.bucket.push_back(bucket);
  }
  ClientMetric::Bucket last;
  last.cumulative_count = count;
  last.upper_bound = std::numeric_limits<double>::infinity();
  metric.histogram.bucket.push_back(last);
  metric.histogram.sample_count = count;
  metric.histogram.sample_sum = sum;
  add(name, MetricType::Histogram, help, std::move(metric));
}

std::string Families::text() const {
  std::vector<MetricFamily> list;
  list.reserve(families_.size());
  for (const auto& [name, family] : families_) list.push_back(family);
  return prometheus::TextSerializer().Serialize(list);
}

MetricLabels labels_of(const telemetry::Labels& labels, std::string_view protocol) {
  return {{"reporter", std::string(telemetry::label(labels.reporter))},
          {"source_workload", labels.source.workload},
          {"source_namespace", labels.source.ns},
          {"source_principal", labels.source.principal},
          {"destination_workload", labels.destination.workload},
          {"destination_namespace", labels.destination.ns},
          {"destination_principal", labels.destination.principal},
          {"destination_service", labels.service},
          {"protocol", std::string(protocol)},
          {"connection_security", std::string(telemetry::label(labels.security))}};
}

std::vector<std::string> key_of(const MetricLabels& labels) {
  std::vector<std::string> key;
  for (const auto& label : labels) key.push_back(label.value);
  return key;
}

}  // namespace weir::admin

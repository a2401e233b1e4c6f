// Values by name and labels, and their text. See metrics.h.
#include "agent/metrics.h"

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <utility>
#include <vector>

namespace weir::agent {
namespace {

constexpr DescribedMetric kBuildInfo{"weir_build_info", false, "Always 1; the version is in the labels."};

}  // namespace

Metrics::Metrics(std::string component, std::span<const DescribedMetric> table) : table_(table) {
  values_[kBuildInfo.name];
  for (const auto& described : table_) values_[described.name];
  set(kBuildInfo.name, 1, {{"component", std::move(component)}, {"version", WEIR_VERSION}});
}

void Metrics::set(const std::string& name, double value, const Labels& labels) {
  const std::lock_guard lock(mutex_);
  values_.at(name)[labels] = value;  // a name that is not in the table is a bug: std::terminate by exception
}

void Metrics::add(const std::string& name, double value, const Labels& labels) {
  const std::lock_guard lock(mutex_);
  values_.at(name)[labels] += value;
}

void Metrics::clear(const std::string& name) {
  const std::lock_guard lock(mutex_);
  values_.at(name).clear();
}

double Metrics::get(const std::string& name, const Labels& labels) const {
  const std::lock_guard lock(mutex_);
  const auto& family = values_.at(name);
  const auto found = family.find(labels);
  return found == family.end() ? 0 : found->second;
}

std::string Metrics::text() const {
  std::vector<prometheus::MetricFamily> families;
  const std::lock_guard lock(mutex_);
  const auto add = [&](const DescribedMetric& described) {
    const auto& values = values_.at(described.name);
    if (values.empty()) return;
    const auto type = described.counter ? prometheus::MetricType::Counter : prometheus::MetricType::Gauge;
    prometheus::MetricFamily family{described.name, described.help, type, {}};
    for (const auto& [labels, value] : values) {
      prometheus::ClientMetric metric;
      for (const auto& [label, word] : labels) metric.label.push_back({label, word});
      (described.counter ? metric.counter.value : metric.gauge.value) = value;
      family.metric.push_back(std::move(metric));
    }
    families.push_back(std::move(family));
  };
  add(kBuildInfo);
  for (const auto& described : table_) add(described);
  return prometheus::TextSerializer().Serialize(families);
}

}  // namespace weir::agent

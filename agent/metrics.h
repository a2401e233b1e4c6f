#pragma once
// A program's own numbers for Prometheus: the agent's, the controller's. The loop writes them, the HTTP thread prints them.
//
// Concept: values set or added by name and labels; the text format is prometheus-cpp's. Every name is described in the
// program's table, so that a number nobody explained cannot be exported.
// Owner: the app. Thread: any (one mutex; nothing is hot here).
#include <map>
#include <mutex>
#include <span>
#include <string>

namespace weir::agent {

struct DescribedMetric {
  const char* name;
  bool counter;  // else a gauge
  const char* help;
};

class Metrics {
 public:
  using Labels = std::map<std::string, std::string>;

  // The table, which has weir_build_info, outlives this.
  Metrics(const std::string& component, std::span<const DescribedMetric> table);
  void set(const std::string& name, double value, const Labels& labels = {});
  void add(const std::string& name, double value = 1, const Labels& labels = {});
  // Forgets every label set of a name: before setting the ones that are still true.
  void clear(const std::string& name);
  double get(const std::string& name, const Labels& labels = {}) const;
  std::string text() const;

 private:
  const std::span<const DescribedMetric> table_;
  mutable std::mutex mutex_;
  std::map<std::string, std::map<Labels, double>> values_;
};

std::span<const DescribedMetric> agent_metrics();

}  // namespace weir::agent

#pragma once
// The agent's own numbers for Prometheus. The loop writes them, the HTTP thread prints them.
//
// Concept: values set or added by name and labels; the text format is prometheus-cpp's. Every name is described in one
// table (metrics.cc), so that a number nobody explained cannot be exported.
// Owner: the app. Thread: any (one mutex; nothing is hot here).
#include <map>
#include <mutex>
#include <string>

namespace weir::agent {

class Metrics {
 public:
  using Labels = std::map<std::string, std::string>;

  Metrics();
  void set(const std::string& name, double value, const Labels& labels = {});
  void add(const std::string& name, double value = 1, const Labels& labels = {});
  // Forgets every label set of a name: before setting the ones that are still true.
  void clear(const std::string& name);
  double get(const std::string& name, const Labels& labels = {}) const;
  std::string text() const;

 private:
  mutable std::mutex mutex_;
  std::map<std::string, std::map<Labels, double>> values_;
};

}  // namespace weir::agent

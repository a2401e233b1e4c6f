// Rows and their labels. See series.h.
#include "nodeproxy/telemetry/series.h"

namespace weir::telemetry {

std::string_view label(Reporter reporter) { return reporter == Reporter::source ? "source" : "destination"; }

std::string_view label(Security security) {
  switch (security) {
    case Security::mtls: return "mtls";
    case Security::local: return "local";
    case Security::none: return "none";
  }
  return "none";
}

void Row::observe(std::chrono::nanoseconds duration) {
  const double seconds = std::chrono::duration<double>(duration).count();
  size_t bucket = 0;
  while (bucket < kDurationBounds.size() && seconds > kDurationBounds[bucket]) ++bucket;
  ++durations[bucket];
  duration_sum_seconds += seconds;
}

size_t hash_of(const Labels& labels) {
  size_t hash = static_cast<size_t>(labels.reporter) * 3 + static_cast<size_t>(labels.security);
  for (const std::string* part :
       {&labels.source.workload, &labels.source.ns, &labels.source.principal, &labels.destination.workload,
        &labels.destination.ns, &labels.destination.principal, &labels.service}) {
    hash = hash * 0x9E3779B97F4A7C15ULL + std::hash<std::string>()(*part);
  }
  return hash;
}

Labels other_labels(const Labels& labels) {
  return {labels.reporter, labels.security, {"other", "other", ""}, {"other", "other", ""}, "other"};
}

size_t Series::Hash::operator()(const Labels& labels) const { return hash_of(labels); }

Row& Series::row(const Labels& labels) {
  auto found = rows_.find(labels);
  if (found != rows_.end()) return *found->second;
  Labels known = labels;
  if (rows_.size() >= cap_) {
    known = other_labels(labels);
    found = rows_.find(known);
    if (found != rows_.end()) return *found->second;
  }
  auto row = std::make_unique<Row>();
  row->labels = known;
  return *rows_.emplace(std::move(known), std::move(row)).first->second;
}

std::vector<Row> Series::copy() const {
  std::vector<Row> rows;
  rows.reserve(rows_.size());
  for (const auto& [labels, row] : rows_) rows.push_back(*row);
  return rows;
}

}  // namespace weir::telemetry

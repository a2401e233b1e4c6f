// Rows of requests and their outcomes. See request_series.h.
#include "nodeproxy/telemetry/request_series.h"

#include <algorithm>
#include <array>

namespace weir::telemetry {

std::string_view label(Protocol protocol) {
  switch (protocol) {
    case Protocol::http_1: return "http/1.1";
    case Protocol::http_2: return "http/2";
    case Protocol::grpc: return "grpc";
  }
  return "http/1.1";
}

std::string_view RequestOutcome::class_label() const {
  static constexpr std::array<std::string_view, 6> kLabels{"none", "1xx", "2xx", "3xx", "4xx", "5xx"};
  return response_class < kLabels.size() ? kLabels[response_class] : "other";
}

std::string RequestOutcome::grpc_label() const {
  if (grpc == not_grpc) return "";
  if (grpc == grpc_none) return "none";
  return grpc == grpc_other ? "other" : std::to_string(grpc);
}

bool RequestOutcome::failed() const {
  if (reason != Reason::none && reason != Reason::redirected) return true;
  if (response_class == 5) return true;
  switch (grpc) {
    case 2:   // UNKNOWN
    case 4:   // DEADLINE_EXCEEDED
    case 12:  // UNIMPLEMENTED
    case 13:  // INTERNAL
    case 14:  // UNAVAILABLE
    case 15:  // DATA_LOSS
    case grpc_other:
    case grpc_none: return true;
    default: return false;
  }
}

void RequestCounts::count_outcome(const RequestOutcome& outcome, uint64_t by) {
  for (RequestOutcome& known : outcomes) {
    if (known.response_class == outcome.response_class && known.grpc == outcome.grpc &&
        known.reason == outcome.reason) {
      known.count += by;
      return;
    }
  }
  outcomes.push_back(outcome);
  outcomes.back().count = by;
}

void RequestCounts::count(uint16_t status, std::optional<uint32_t> grpc_status, Reason reason,
                          std::chrono::nanoseconds duration) {
  RequestOutcome outcome;
  outcome.response_class = static_cast<uint8_t>(std::min(status / 100, 6));
  outcome.reason = reason;
  if (labels->protocol == Protocol::grpc) {
    if (!grpc_status) {
      outcome.grpc = RequestOutcome::grpc_none;
    } else if (*grpc_status > RequestOutcome::grpc_code_max) {
      outcome.grpc = RequestOutcome::grpc_other;
    } else {
      outcome.grpc = static_cast<uint8_t>(*grpc_status);
    }
  }
  count_outcome(outcome, 1);
  durations.observe(duration);
}

void RequestCounts::add(const RequestCounts& other) {
  for (const RequestOutcome& outcome : other.outcomes) count_outcome(outcome, outcome.count);
  durations.add(other.durations);
  in_flight += other.in_flight;
  sent_bytes += other.sent_bytes;
  received_bytes += other.received_bytes;
  retries += other.retries;
}

uint64_t RequestCounts::failures() const {
  uint64_t sum = 0;
  for (const RequestOutcome& outcome : outcomes) sum += outcome.failed() ? outcome.count : 0;
  return sum;
}

size_t RequestSeries::Hash::operator()(const RequestLabels& labels) const {
  const size_t hash = hash_of(labels.ends) * 3 + static_cast<size_t>(labels.protocol);
  return hash * 0x9E3779B97F4A7C15ULL + std::hash<std::string>()(labels.route);
}

RequestRow* RequestSeries::add(RequestLabels labels) {
  auto row = std::make_unique<RequestRow>();
  row->labels = std::make_shared<const RequestLabels>(labels);
  return rows_.emplace(std::move(labels), std::move(row)).first->second.get();
}

RequestRow* RequestSeries::row(const RequestLabels& labels) {
  auto found = rows_.find(labels);
  if (found != rows_.end()) return found->second.get();
  if (rows_.size() < cap_) return add(labels);
  RequestLabels other{other_labels(labels.ends), labels.protocol, "other"};
  found = rows_.find(other);
  return found != rows_.end() ? found->second.get() : add(std::move(other));
}

std::vector<RequestCounts> RequestSeries::copy() const {
  std::vector<RequestCounts> rows;
  rows.reserve(rows_.size());
  for (const auto& [labels, row] : rows_) rows.push_back(*row);
  return rows;
}

}  // namespace weir::telemetry

// Counting and logging the end of a connection. See record.h.
#include "nodeproxy/telemetry/record.h"

#include <cstdlib>

namespace weir::telemetry {

void Record::opened(Sink& sink) {
  row_ = &sink.series.row(*facts.labels);
  if (row_->labels == *facts.labels) facts.labels.settle(row_->labels);  // not where there are too many rows
  ++row_->opened;
}

void Record::publish_bytes() {
  if (!row_) return;
  row_->sent_bytes += sent_bytes - published_sent_;
  row_->received_bytes += received_bytes - published_received_;
  published_sent_ = sent_bytes;
  published_received_ = received_bytes;
}

void Record::end(Sink& sink, std::chrono::steady_clock::time_point now, const Error& why) {
  if (ended_) std::abort();  // an outcome is recorded once
  ended_ = true;
  const auto duration = now - begun_;
  if (row_) {
    publish_bytes();
    ++row_->closed;
    row_->observe(duration);
  } else {
    ++sink.series.row(*facts.labels).failed[static_cast<size_t>(why.reason)];
  }
  const bool keep = sink.refusals != nullptr && is_refusal(why.reason);
  if (!keep && !sink.log.enabled()) return;
  const std::string_view line =
      sink.log.write(facts, Ended{row_ != nullptr, sent_bytes, received_bytes, duration, why});
  if (!keep) return;
  const bool at_source = facts.reporter == Reporter::source;
  sink.refusals->add(at_source ? facts.source_pod : facts.destination_pod, line);
}

}  // namespace weir::telemetry

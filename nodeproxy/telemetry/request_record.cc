// Counting and logging the end of a request. See request_record.h.
#include "nodeproxy/telemetry/request_record.h"

#include <cstdlib>

#include "nodeproxy/base/limits.h"

namespace weir::telemetry {

RequestRecord::RequestRecord(RequestSink& sink, RequestRow* row, TimePoint begun)
    : sink_(sink), row_(row), begun_(begun), wants_text_(sink.wants_text()) {
  ++row_->in_flight;
}

RequestRecord::~RequestRecord() {
  if (row_) end(sink_.now(), Error{Source::local, Reason::cancelled, 0, {}});
}

void RequestRecord::describe(std::string_view method, std::string_view host, std::string_view path) {
  if (!wants_text_) return;
  facts.method = method.substr(0, limits::logged_method_max_bytes);
  facts.host = host.substr(0, limits::logged_host_max_bytes);
  facts.path = path.substr(0, limits::logged_path_max_bytes);
  facts.truncated = facts.method.size() < method.size() || facts.host.size() < host.size() ||
                    facts.path.size() < path.size();
}

void RequestRecord::move_to(RequestRow* row) {
  publish_bytes();
  --row_->in_flight;
  row_ = row;
  ++row_->in_flight;
}

void RequestRecord::attempt(const SocketAddress& endpoint) {
  facts.endpoint = endpoint;
  if (attempts_++ > 0) ++row_->retries;
}

void RequestRecord::first_byte(TimePoint now) {
  if (!first_byte_) first_byte_ = now;
}

void RequestRecord::publish_bytes() {
  row_->sent_bytes += sent_bytes - published_sent_;
  row_->received_bytes += received_bytes - published_received_;
  published_sent_ = sent_bytes;
  published_received_ = received_bytes;
}

void RequestRecord::end(TimePoint now, const Error& why) {
  if (!row_) std::abort();  // an outcome is recorded once
  publish_bytes();
  RequestRow& row = *std::exchange(row_, nullptr);
  --row.in_flight;
  const auto duration = now - begun_;
  row.count(status, grpc_status, why.reason, duration);
  const bool keep = sink_.refusals != nullptr && is_refusal(why.reason);
  if (!wants_text_ && !keep) return;
  RequestEnded ended{.status = status,
                     .grpc_status = grpc_status,
                     .sent_bytes = sent_bytes,
                     .received_bytes = received_bytes,
                     .duration = duration,
                     .first_byte = {},
                     .attempts = attempts_,
                     .why = why};
  if (first_byte_) ended.first_byte = *first_byte_ - begun_;
  const std::string_view line = sink_.log.write(facts, row, ended);
  if (sink_.tap.watched()) sink_.tap.add(row, status, line);
  if (!keep) return;
  const bool at_source = row.labels->ends.reporter == Reporter::source;
  sink_.refusals->add(at_source ? facts.source_pod : facts.destination_pod, line);
}

}  // namespace weir::telemetry

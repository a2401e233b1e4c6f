// Formatting access-log lines. See access_log.h.
#include "nodeproxy/telemetry/access_log.h"

#include "nodeproxy/telemetry/record.h"
#include "nodeproxy/telemetry/request_record.h"
#include "nodeproxy/telemetry/request_series.h"

namespace weir::telemetry {
namespace {

std::string_view direction(Reporter reporter) {
  return reporter == Reporter::source ? "outbound" : "inbound";
}

// What follows the pod of a party, with the brace that closes it.
void append_party_end(std::string& out, const Party& party) {
  append_field(out, "namespace", party.ns);
  append_field(out, "workload", party.workload);
  append_field(out, "principal", party.principal);
  out += '}';
}

void append_party(std::string& out, std::string_view name, const Party& party, const std::string& pod,
                  const SocketAddress& address) {
  out += ",\"";
  out += name;
  out += "\":{\"address\":\"";
  append_address(out, address);
  out += '"';
  append_field(out, "pod", pod);
  append_party_end(out, party);
}

// Why it ended, and which policy had a part in it.
void append_outcome(std::string& out, const Error& why, const std::string& policy, const std::string& rule) {
  append_field(out, "reason", weir::label(why.reason));
  if (why.os_code != 0) append_number_field(out, "errno", static_cast<uint64_t>(why.os_code));
  if (why.reason != Reason::none) append_field(out, "explanation", sentence(why.reason));
  if (!policy.empty()) append_field(out, "policy", policy);
  if (!rule.empty()) append_field(out, "rule", rule);
}

void append_address_if_any(std::string& out, const SocketAddress& address) {
  if (address != SocketAddress()) append_address(out, address);
}

// The parts of a request's line that its labels make: before, between and behind what differs from request to request.
void make_texts(RequestRow& row) {
  const RequestLabels& labels = *row.labels;
  const Labels& ends = labels.ends;
  std::string& head = row.texts.head;
  head = "\",\"kind\":\"request\"";
  append_field(head, "reporter", label(ends.reporter));
  append_field(head, "direction", direction(ends.reporter));
  head += ",\"source\":{\"address\":\"";
  append_party_end(row.texts.middle, ends.source);
  row.texts.middle += ",\"destination\":{\"address\":\"";
  std::string& tail = row.texts.tail;
  append_party_end(tail, ends.destination);
  append_field(tail, "service", ends.service);
  append_field(tail, "route", labels.route);
  append_field(tail, "protocol", label(labels.protocol));
  append_field(tail, "security", label(ends.security));
}

}  // namespace

std::string_view AccessLog::write(const Facts& facts, const Ended& ended) {
  std::string& out = batch_;
  if (!writer_) out.clear();
  const size_t begin = out.size();
  out += "{\"time\":\"";
  clock_.append_to(out, std::chrono::system_clock::now());
  out += "\",\"kind\":\"connection\"";
  append_field(out, "reporter", label(facts.reporter));
  append_field(out, "direction", direction(facts.reporter));
  append_party(out, "source", facts.labels->source, facts.source_pod, facts.client);
  append_party(out, "destination", facts.labels->destination, facts.destination_pod, facts.endpoint);
  out += ",\"dialled\":\"";
  append_address(out, facts.dialled);
  out += '"';
  append_field(out, "service", facts.labels->service);
  append_field(out, "security", label(facts.labels->security));
  append_field(out, "verdict", ended.was_open ? "opened" : "failed");
  append_outcome(out, ended.why, facts.policy, facts.rule);
  if (ended.why.detail) append_field(out, "detail", *ended.why.detail);
  append_number_field(out, "bytes_sent", ended.sent_bytes);
  append_number_field(out, "bytes_received", ended.received_bytes);
  append_millis_field(out, "duration_ms", ended.duration);
  out += "}\n";
  return std::string_view(out).substr(begin);
}

std::string_view AccessLog::write(const RequestFacts& facts, RequestRow& row, const RequestEnded& ended) {
  std::string& out = batch_;
  if (!writer_) out.clear();
  if (row.texts.head.empty()) make_texts(row);
  const size_t begin = out.size();
  out += "{\"time\":\"";
  clock_.append_to(out, std::chrono::system_clock::now());
  out += row.texts.head;
  append_address_if_any(out, facts.client);
  out += '"';
  append_field(out, "pod", facts.source_pod);
  out += row.texts.middle;
  append_address_if_any(out, facts.endpoint);
  out += '"';
  append_field(out, "pod", facts.destination_pod);
  out += row.texts.tail;
  append_field(out, "method", facts.method);
  append_field(out, "host", facts.host);
  append_field(out, "path", facts.path);
  if (facts.truncated) out += ",\"truncated\":true";
  if (ended.status != 0) append_number_field(out, "status", ended.status);
  if (ended.grpc_status) append_number_field(out, "grpc_status", *ended.grpc_status);
  append_outcome(out, ended.why, facts.policy, facts.rule);
  if (ended.why.detail) append_field(out, "detail", *ended.why.detail);
  append_number_field(out, "bytes_sent", ended.sent_bytes);
  append_number_field(out, "bytes_received", ended.received_bytes);
  append_millis_field(out, "duration_ms", ended.duration);
  if (ended.first_byte) append_millis_field(out, "first_byte_ms", *ended.first_byte);
  append_number_field(out, "attempts", ended.attempts);
  if (ended.attempts != 0) {
    out += ",\"endpoint\":\"";
    append_address(out, facts.endpoint);
    out += '"';
  }
  if (!facts.trace.empty()) append_field(out, "trace_id", facts.trace.text());
  out += "}\n";
  return std::string_view(out).substr(begin);
}

void AccessLog::flush() {
  if (pending()) writer_->submit(std::move(batch_));
}

}  // namespace weir::telemetry

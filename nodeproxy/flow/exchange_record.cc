// What an exchange tells telemetry and the balancer. See exchange.h.
#include "nodeproxy/flow/exchange.h"
#include "nodeproxy/flow/parties.h"
#include "nodeproxy/flow/verdicts.h"
#include "nodeproxy/http/grpc.h"

namespace weir::flow {

void Exchange::begin_record() {
  if (!record_.wants_text()) return;
  record_.describe(head_->method, head_->authority, head_->path);
  record_.facts.client = client_.address;
  record_.facts.source_pod = client_.facts.source_pod;
  record_.facts.destination_pod = client_.facts.destination_pod;
  record_.facts.trace = telemetry::trace_of(head_->headers);
}

void Exchange::note_endpoint(const Hop& hop) {
  record_.move_to(client_.row(telemetry::Reporter::source, hop, plan_));
  record_.attempt(hop.to);
  const config::Workload* destination =
      hop.workload_uid.empty() ? nullptr : context_.snapshot->workload(hop.workload_uid);
  if (record_.wants_text()) record_.facts.destination_pod = pod_name(destination);
  if (hop.way != upstream::Way::local) return;
  destination_record_.emplace(context_.request_sink,
                              client_.row(telemetry::Reporter::destination, hop, plan_), begun_);
  destination_record_->facts = record_.facts;
}

void Exchange::note_verdict(const policy::Verdict& verdict) {
  if (record_.wants_text() || !verdict.allowed) name_rule(record_.facts, verdict);
}

void Exchange::note_response(const http::Piece& piece) {
  record_.received_bytes += piece.body.size();
  if (!plan_.grpc) return;
  const http::Headers* fields = piece.trailers            ? piece.trailers.get()
                                : piece.end && piece.head ? &piece.head->headers
                                                          : nullptr;
  if (!fields) return;
  if (const auto code = http::grpc_status(*fields)) record_.grpc_status = *code;
}

void Exchange::observe(Try& attempt, balance::Outcome::Kind kind) {
  const auto now = driver().now();
  attempt.held.answered({.kind = kind, .latency = now - attempt.begun}, now);
}

// Nothing was filled on the way, since no log is written; a refusal is told all the same.
void Exchange::fill_refusal() {
  telemetry::RequestFacts& facts = record_.facts;
  facts.client = client_.address;
  facts.source_pod = client_.facts.source_pod;
  facts.destination_pod = client_.facts.destination_pod;
  if (record_.attempts() == 0) return;
  facts.destination_pod = pod_name(context_.snapshot->workload_at(facts.endpoint.ip));
}

void Exchange::finish_record() {
  const Error why = why_.value_or(Error{Source::local, Reason::none, 0, {}});
  const auto now = driver().now();
  if (!record_.wants_text() && telemetry::is_refusal(why.reason)) {
    fill_refusal();
    if (destination_record_) destination_record_->facts = record_.facts;
  }
  end_destination_record(record_.status, why);
  record_.end(now, why);
}

// In one pass each try is the destination's too, and what it saw of it: the one that is tried elsewhere as well.
void Exchange::end_destination_record(uint16_t status, const Error& why) {
  if (!destination_record_) return;
  destination_record_->status = status;
  destination_record_->grpc_status = record_.grpc_status;
  destination_record_->sent_bytes = record_.sent_bytes;
  destination_record_->received_bytes = record_.received_bytes;
  destination_record_->facts.policy = record_.facts.policy;
  destination_record_->facts.rule = record_.facts.rule;
  destination_record_->end(driver().now(), why);
  destination_record_.reset();
}

}  // namespace weir::flow

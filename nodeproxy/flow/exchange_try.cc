// One try of a request: choosing an endpoint, getting a place on a connection to it, and whether to try again.
#include <algorithm>

#include "nodeproxy/balance/backoff.h"
#include "nodeproxy/balance/pick.h"
#include "nodeproxy/flow/exchange.h"
#include "nodeproxy/flow/http_hop.h"
#include "nodeproxy/flow/verdicts.h"
#include "nodeproxy/http/grpc.h"
#include "nodeproxy/io/sleep.h"

namespace weir::flow {
namespace {

// RFC 9110 section 9.2.2.
bool idempotent(const std::string& method) {
  return method == "GET" || method == "HEAD" || method == "OPTIONS" || method == "TRACE" || method == "PUT" ||
         method == "DELETE";
}

template <typename Values, typename Value>
bool among(const Values& values, const Value& value) {
  return std::find(values.begin(), values.end(), value) != values.end();
}

}  // namespace

io::TimePoint Exchange::deadline_of_try() const {
  if (!plan_.timeouts.backend_request) return deadline_;
  return std::min(deadline_, driver().now() + *plan_.timeouts.backend_request);
}

// Who waited in vain knows only that its time was over: that of the request, of this try, or what a connection may take.
Error Exchange::in_time(Error why) const {
  const bool waited = why.reason == Reason::detect_timeout || why.reason == Reason::connect_timeout ||
                      why.reason == Reason::certificate_missing;
  if (waited && driver().now() >= try_deadline_) {
    why.reason = try_deadline_ == deadline_ ? Reason::request_timeout : Reason::backend_timeout;
  } else if (why.reason == Reason::detect_timeout) {
    why.reason = Reason::connect_timeout;
  }
  return why;
}

// By the newest snapshot: the one that the request was routed by may be gone; its backend is kept by name.
io::Task<Result<Exchange::Try>> Exchange::reach() {
  Try attempt;
  attempt.begun = driver().now();
  attempt.deadline = try_deadline_ = deadline_of_try();
  const config::Service* service = context_.snapshot->services_by_name.find(plan_.service);
  if (!service) co_return weir::fail(Source::local, Reason::no_endpoint);
  balance::Request request = ask(context_, client_.flow.owner, *service, plan_.port, client_.address, tried_);
  request.v4 = client_.dialled.ip.is_v4();
  request.now = attempt.begun;
  request.http = true;
  request.hash = plan_.hash;
  request.prefer = plan_.prefer;
  auto choice = balance::pick(request, context_.balance);
  if (!choice && !tried_.empty()) {  // nothing untried is left
    request.tried = {};
    choice = balance::pick(request, context_.balance);
  }
  if (!choice) co_return std::unexpected(choice.error());
  attempt.held = context_.balance.request(*choice, attempt.begun);
  attempt.hop = hop_to(context_, client_.flow.owner, *choice);
  const bool elsewhere = plan_.service != client_.service || plan_.port != client_.dialled.port;
  attempt.h2 = speaks_h2(*choice, client_.h2, elsewhere);
  tried_.push_back(attempt.hop.endpoint_id);
  note_endpoint(attempt.hop);
  if (attempt.hop.way == upstream::Way::local) {
    LocalPod* pod = context_.pod(attempt.hop.workload_uid);
    const config::Workload* workload = pod ? pod->workload() : nullptr;
    if (!workload) co_return weir::fail(Source::local, Reason::pod_removed);
    const Status allowed = judge(*workload, attempt.hop.to.port);
    if (!allowed) co_return std::unexpected(allowed.error());
    judged_link_.enter(pod->judged);
  }
  auto ready = reuse(client_.flow.owner, attempt.hop, client_.address, attempt.h2, stale_retried_,
                     service->traffic.pool);
  if (!ready) co_return co_await lease_to(std::move(attempt));
  attempt.lease = std::move(*ready);
  co_return attempt;
}

// A place on a connection to the endpoint, within the service's circuit breaker.
io::Task<Result<Exchange::Try>> Exchange::lease_to(Try attempt) {
  auto want =
      co_await want_for(client_.flow.owner, attempt.hop, client_.address, attempt.h2, attempt.deadline);
  if (!want) co_return std::unexpected(want.error());
  want->service = plan_.service;
  want->fresh = stale_retried_;
  const Status admitted = co_await admit_connection(*want, attempt.deadline);
  if (!admitted) co_return std::unexpected(admitted.error());
  auto lease = co_await context_.http->lease(std::move(*want));
  if (!lease) co_return std::unexpected(lease.error());
  attempt.lease = std::move(*lease);
  co_return attempt;
}

// Beyond the service's connections a request waits, in a queue that is bounded and timed.
io::Task<Status> Exchange::admit_connection(upstream::HttpPool::Want& want, io::TimePoint deadline) {
  balance::Permit pending;
  const io::TimePoint last = std::min(deadline, driver().now() + limits::connect_timeout);
  for (;;) {
    const config::Service* service = context_.snapshot->services_by_name.find(plan_.service);
    if (!service) co_return weir::fail(Source::local, Reason::no_endpoint);
    want.settings = service->traffic.pool;
    if (context_.http->has_room(want.key, want.fresh)) co_return Status();
    auto connection = context_.balance.admit(*service, balance::Use::connection, driver().now());
    if (connection) {
      want.permit = std::move(*connection);
      co_return Status();
    }
    auto waiting = context_.balance.admit(*service, balance::Use::pending, driver().now());
    if (!waiting) co_return std::unexpected(waiting.error());
    pending = std::move(*waiting);
    const Status woken = co_await context_.http->wait_for_room(plan_.service, last);
    if (!woken) {
      const bool late = woken.error().reason == Reason::detect_timeout;
      co_return weir::fail(Source::local, late ? Reason::circuit_open : woken.error().reason);
    }
    pending.release();
  }
}

// Inbound: the pod's own application, after its policy.
io::Task<Result<Exchange::Try>> Exchange::reach_application() {
  Try attempt;
  attempt.begun = driver().now();
  attempt.deadline = try_deadline_ = deadline_of_try();
  attempt.h2 = client_.h2;
  LocalPod* pod = client_.destination();
  const config::Workload* workload = pod ? pod->workload() : nullptr;
  if (!workload) co_return weir::fail(Source::config, Reason::unknown_pod);
  if (!client_.local_uid.empty()) {
    attempt.hop.way = upstream::Way::local;
    attempt.hop.to = client_.dialled;
    attempt.hop.workload_uid = client_.local_uid;
    note_endpoint(attempt.hop);
  }
  const Status allowed = judge(*workload, client_.dialled.port);
  if (!allowed) co_return std::unexpected(allowed.error());
  judged_link_.enter(pod->judged);
  auto lease = co_await client_.application(attempt.deadline);
  if (!lease) co_return std::unexpected(lease.error());
  attempt.lease = std::move(*lease);
  co_return attempt;
}

// The destination's policy on this request.
Status Exchange::judge(const config::Workload& workload, uint16_t port) {
  judged_ = {client_.identity, client_.address.ip, port};
  const policy::Verdict verdict = verdict_of(workload);
  count_audits(context_, verdict);
  note_verdict(verdict);
  if (verdict.allowed) return {};
  return weir::fail(Source::policy, verdict.reason);
}

policy::Verdict Exchange::verdict_of(const config::Workload& workload) {
  return judge_request(workload, judged_.port, {judged_.identity, judged_.client}, *head_);
}

void Exchange::judge_again(const config::Workload& now) {
  const policy::Verdict verdict = verdict_of(now);
  if (verdict.allowed) return;
  note_verdict(verdict);
  end(Reason::policy_changed);
}

bool Exchange::may_retry(const Try* attempt, const Error& why) {
  if (wanted_status_ != 0) return true;  // decided, and counted, when the answer came
  // A whole body that was not kept has gone too, with the last try that was allowed.
  if (responded_ || !kept_all_ || (attempt && attempt->body_begun)) return false;
  switch (why.reason) {
    case Reason::denied:
    case Reason::not_allowed:
    case Reason::bad_request:
    case Reason::cancelled:
    case Reason::client_closed:
    case Reason::client_reset:
    case Reason::certificate_missing:
    case Reason::request_timeout:
    case Reason::circuit_open: return false;
    default: break;
  }
  if (driver().now() >= deadline_) return false;
  const bool reset =
      why.reason == Reason::server_reset || why.reason == Reason::peer_lost || why.reason == Reason::io;
  // A pooled connection that its peer closed before a byte of response: once, beside everything else. A peer that closes
  // may have taken the request first, so only what may be done twice (a POST without a body may not).
  if (attempt && attempt->lease && attempt->lease.reused() && reset && !stale_retried_ &&
      idempotent(head_->method)) {
    stale_retried_ = true;
    --attempts_;
    return true;
  }
  if (client_.inbound || attempts_ > plan_.retry.attempts) return false;  // inbound there is one application
  const bool unprocessed =
      !attempt || !attempt->lease || attempt->lease.unprocessed() || why.reason == Reason::stream_refused;
  const bool timed_out =
      why.reason == Reason::backend_timeout && among(plan_.retry.statuses, uint16_t{504}) && retry_method();
  if (!unprocessed && !timed_out && !(reset && idempotent(head_->method))) return false;
  return within_budget();
}

// The proxy of the client may try another endpoint, if it learns that this application was not reached: the end of the
// stream says so (REFUSED_STREAM, or a reset of the session for not_reached). An answer of ours would be final.
bool Exchange::is_for_another_endpoint(const Error& why) const {
  if (!client_.inbound || !client_.on_refused || responded_) return false;
  return why.reason == Reason::refused || why.reason == Reason::unreachable ||
         why.reason == Reason::connect_timeout;
}

bool Exchange::within_budget() {
  const config::Service* service = context_.snapshot->services_by_name.find(plan_.service);
  return service && context_.balance.may_retry(*service, driver().now());
}

bool Exchange::retry_method() const {
  return plan_.retry.methods.empty() ? idempotent(head_->method) : among(plan_.retry.methods, head_->method);
}

// Whether this answer is one that the policy tries again: while the request can be said once more, and within the budget,
// which is counted here. Otherwise the answer is passed on.
bool Exchange::wants_retry(const http::Head& response, const Try& attempt) {
  if (plan_.retry.statuses.empty() && plan_.retry.grpc_codes.empty()) return false;
  if (client_.inbound || attempts_ > plan_.retry.attempts || attempt.body_begun || !kept_all_) return false;
  const auto code = http::grpc_status(response.headers);  // trailers-only
  // Codes are named for calls, which are POSTs all: they count whatever the method, unless methods are named too.
  const bool by_code =
      code && among(plan_.retry.grpc_codes, *code) && (plan_.retry.methods.empty() || retry_method());
  const bool by_status = among(plan_.retry.statuses, response.status) && retry_method();
  return (by_code || by_status) && driver().now() < deadline_ && within_budget();
}

io::Task<bool> Exchange::pause_before_retry() {
  const auto pause = std::max<io::Clock::duration>(
      balance::backoff(plan_.retry, attempts_, context_.balance.random().next()), retry_after_);
  retry_after_ = {};
  if (pause.count() == 0) co_return true;
  const Status slept =
      co_await io::sleep(driver(), std::min<io::Clock::duration>(pause, deadline_ - driver().now()));
  co_return slept.has_value();
}

}  // namespace weir::flow

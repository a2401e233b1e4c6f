// The path of a request, top to bottom. See exchange.h; a try's endpoint is exchange_try.cc's, telemetry
// exchange_record.cc's, a tunnel exchange_tunnel.cc's.
#include "nodeproxy/flow/exchange.h"

#include <algorithm>

#include "nodeproxy/flow/decide.h"
#include "nodeproxy/http/grpc.h"
#include "nodeproxy/io/child_scope.h"
#include "nodeproxy/route/cors.h"
#include "nodeproxy/route/filters.h"

namespace weir::flow {
namespace {

balance::Outcome::Kind kind_of(uint16_t status) {
  if (status >= 500) return balance::Outcome::Kind::failed;
  return status == 429 ? balance::Outcome::Kind::busy : balance::Outcome::Kind::ok;
}

// Whether a 2xx agrees to a tunnel; an upgrade of HTTP/1.1 is agreed to by 101.
bool asks_for_tunnel(const http::Head& request) {
  return request.method == "CONNECT" || request.is_extended_connect();
}

bool becomes_tunnel(const http::Head& request, const http::Head& response) {
  return response.status == 101 || (response.status / 100 == 2 && asks_for_tunnel(request));
}

}  // namespace

Exchange::Exchange(HttpClient& client, http::MessageStream& stream, std::function<void(Exchange&)> done)
    : io::Scope(client.flow.context.driver),
      client_(client),
      context_(client.flow.context),
      stream_(stream),
      done_(std::move(done)),
      record_(context_.request_sink, client.base_row(), context_.driver.now()),
      begun_(context_.driver.now()) {
  stream_.watch(this);
}

void Exchange::end(Reason why) {
  fail(Error{Source::local, why, 0, {}});
  cancel();
}

void Exchange::on_aborted(const Error& why) {
  fail(why);
  cancel();
}

void Exchange::on_empty() {
  done_(*this);
  if (waiting_) driver().ready(std::exchange(waiting_, {}), share());
}

io::Task<void> Exchange::run(http::Piece first) {
  head_ = first.head;
  begin_record();
  co_await serve(std::move(first));
  judged_link_.leave();
  stream_.watch(nullptr);
  if (!in_order_) stream_.reset(why_.value_or(Error{Source::local, Reason::cancelled, 0, {}}));
  finish_record();
}

io::Task<void> Exchange::serve(http::Piece first) {
  if (head_->version == http::Version::http_2 && asks_for_tunnel(*head_)) hold(first);
  whole_ = first.end;
  LocalPod& pod = client_.flow.owner;
  const Permit in_flight(++pod.request_count);
  if (pod.request_count > context_.requests_per_pod) {
    fail(Error{Source::downstream, Reason::overloaded, 0, {}});
    LocalAnswer refusal{status_of(Reason::overloaded), Reason::overloaded, {}};
    co_await answer(std::move(refusal));
    co_return;
  }
  // Without content there is nothing to continue with (RFC 9110 section 10.1.1), and servers differ on what it means.
  if (first.end && first.body.empty()) head_->headers.remove("expect");
  auto local = decide(client_, *head_, plan_);
  if (local) {
    if (local->reason != Reason::none) fail(Error{Source::local, local->reason, 0, {}});
    co_await answer(std::move(*local));
    co_return;
  }
  if (plan_.timeouts.request) deadline_ = begun_ + *plan_.timeouts.request;
  if (plan_.grpc) limit_by_grpc_timeout();
  balance::Permit permit;
  if (const config::Service* service = context_.snapshot->services_by_name.find(plan_.service)) {
    context_.balance.count_request(*service, begun_);
    auto admitted = context_.balance.admit(*service, balance::Use::request, begun_);
    if (admitted) permit = std::move(*admitted);
    if (!admitted) {
      fail(admitted.error());
      LocalAnswer refusal{status_of(Reason::circuit_open), Reason::circuit_open, {}};
      co_await answer(std::move(refusal));
      co_return;
    }
  }
  moved_ = begun_;
  if (!plan_.mirrors.empty() && !held_) begin_mirrors(first);  // a tunnel's bytes are for one reader
  co_await tries(std::move(first));
  for (const auto& pipe : mirrors_) pipe->close(in_order_);
}

io::Task<void> Exchange::tries(http::Piece first) {
  for (;;) {
    ++attempts_;
    wanted_status_ = 0;
    Error why{Source::local, Reason::none, 0, {}};
    bool again = false, reached = false;
    {
      Result<Try> attempt = weir::fail(Source::local, Reason::none);
      if (client_.inbound) {
        attempt = co_await reach_application();
      } else {
        attempt = co_await reach();
      }
      reached = attempt.has_value();
      if (attempt) {
        const Status forwarded = co_await forward(*attempt, first);
        if (forwarded) co_return;
        why = attempt->client_error.value_or(forwarded.error());
      } else {
        why = attempt.error();
      }
      why = in_time(std::move(why));
      again = !cancelled() && may_retry(attempt ? &*attempt : nullptr, why);
    }  // the place on the connection is given back before anything else is done
    if (again) {
      end_destination_record(wanted_status_,
                             wanted_status_ != 0 ? Error{Source::local, Reason::none, 0, {}} : why);
      again = co_await pause_before_retry();
    }
    if (again) continue;
    fail(why);
    if (!cancelled() && !reached && is_for_another_endpoint(why)) {
      stream_.reset(Error{Source::local, Reason::not_reached, 0, {}});
      co_return;
    }
    if (!cancelled() && !responded_ && why.source != Source::downstream) {
      LocalAnswer failure{status_of(why.reason, why.source), why.reason, {}};
      co_await answer(std::move(failure));
    }
    co_return;
  }
}

// Passes the request on and the response back. An error before a final head may be tried elsewhere.
io::Task<Status> Exchange::forward(Try& attempt, http::Piece& first) {
  http::MessageStream& upstream = attempt.lease.stream();
  http::Piece out{head_, {}, nullptr, whole_};
  if (!first.body.empty()) {
    const bool keep =
        first.body.size() <= limits::http_retry_body_max_bytes && attempts_ <= plan_.retry.attempts;
    if (keep) {
      out.body = io::copy_to_buffer(first.body.bytes());
    } else {
      out.body = std::move(first.body);
      attempt.body_begun = true;
    }
  }
  if (whole_ && first.trailers) out.trailers = std::make_unique<http::Headers>(*first.trailers);
  if (plan_.grpc && deadline_ != io::kNever)
    http::set_grpc_timeout(head_->headers, deadline_ - driver().now());
  record_.sent_bytes = out.body.size() + kept_bytes_;
  if (!whole_) {
    const Status accepted =
        co_await upstream.accepted(std::min(attempt.deadline, driver().now() + limits::open_timeout));
    if (!accepted) co_return accepted;
  }
  const Status written = co_await upstream.write(std::move(out), attempt.deadline);
  if (!written) co_return written;
  if (whole_ || held_) co_return co_await pass_response(attempt);
  io::ChildScope passing(driver());
  passing.spawn(pass_request(attempt));
  const Status passed = co_await pass_response(attempt);
  passing.cancel();
  co_await passing.join();
  co_return passed;
}

// The rest of the request, piece by piece; first what an earlier try has passed on already. Its errors end the try: the
// client is gone, or the upstream tells its reader, if it has one still.
io::Task<void> Exchange::pass_request(Try& attempt) {
  http::MessageStream& upstream = attempt.lease.stream();
  const auto failed = [&attempt](const Status& written) {
    if (!written && written.error().reason != Reason::cancelled) attempt.request_error = written.error();
    return !written;
  };
  for (size_t at = 0; at < kept_.size(); ++at) {
    http::Piece again{nullptr, io::copy_to_buffer(kept_[at].bytes()), nullptr, false};
    const Status written = co_await upstream.write(std::move(again), io::kNever);
    if (failed(written)) co_return;
  }
  if (request_over_) {
    http::Piece end{nullptr, {}, nullptr, true};
    failed(co_await upstream.write(std::move(end), io::kNever));
    co_return;
  }
  for (;;) {
    auto piece = co_await stream_.read(io::kNever);
    if (!piece) {
      if (piece.error().reason == Reason::cancelled) co_return;
      attempt.client_error = piece.error();
      upstream.give_up();
      co_return;
    }
    record_.sent_bytes += piece->body.size();
    moved_ = driver().now();
    mirror(*piece);
    keep(*piece);
    const bool last = piece->end;
    const Status written = co_await upstream.write(std::move(*piece), io::kNever);
    if (failed(written) || last) co_return;
  }
}

// What a client says over HTTP/2 into a tunnel that nobody has agreed to waits, since a server that does not agree would
// read it as something else: over HTTP/1.1 as its next request, past every policy.
void Exchange::hold(http::Piece& first) {
  held_ = true;
  request_over_ = std::exchange(first.end, false);
  kept_bytes_ = first.body.size();
  if (!first.body.empty()) kept_.push_back(std::exchange(first.body, io::Buffer()));
}

// A copy of what is passed on, as long as another try may follow and it is not too much.
void Exchange::keep(const http::Piece& piece) {
  request_over_ = piece.end;
  if (responded_ || !kept_all_) return;
  if (piece.trailers || kept_bytes_ + piece.body.size() > limits::http_retry_body_max_bytes) {
    kept_all_ = false;
    kept_.clear();
    return;
  }
  kept_bytes_ += piece.body.size();
  if (!piece.body.empty()) kept_.push_back(io::copy_to_buffer(piece.body.bytes()));
}

io::Task<Status> Exchange::pass_response(Try& attempt) {
  http::MessageStream& upstream = attempt.lease.stream();
  for (;;) {
    const io::TimePoint last_moment = responded_ ? deadline_ : attempt.deadline;
    const io::TimePoint patience = plan_.timeouts.idle ? moved_ + *plan_.timeouts.idle : io::kNever;
    auto piece = co_await upstream.read(std::min(last_moment, patience));
    if (!piece) {
      Error why = piece.error();
      if (why.reason == Reason::detect_timeout) {
        const io::TimePoint now = driver().now();
        if (now < last_moment && moved_ + plan_.timeouts.idle.value_or(config::Milliseconds(0)) > now)
          continue;
        const bool whole = responded_ || attempt.deadline == deadline_;
        why.reason = now < last_moment ? Reason::idle_timeout
                     : whole           ? Reason::request_timeout
                                       : Reason::backend_timeout;
        upstream.give_up();
      }
      observe(attempt, why.reason == Reason::cancelled ? balance::Outcome::Kind::abandoned
                                                       : balance::Outcome::Kind::failed);
      co_return std::unexpected(why);
    }
    http::Head* head = piece->head;
    if (head && !head->informational()) {
      if (wants_retry(*head, attempt)) {
        observe(attempt, kind_of(head->status));
        wanted_status_ = head->status;
        retry_after_ = http::retry_after(head->headers);
        upstream.give_up();
        co_return weir::fail(Source::upstream, Reason::bad_response);
      }
      begin_response(attempt, *head);
      if (becomes_tunnel(*head_, *head)) co_return co_await tunnel(attempt, std::move(*piece));
    }
    note_response(*piece);
    moved_ = driver().now();
    const bool last = piece->end;
    const Status written = co_await stream_.write(std::move(*piece), io::kNever);
    if (!written) {
      attempt.client_error = written.error();
      upstream.give_up();
      co_return written;
    }
    if (last) {
      in_order_ = true;
      co_return Status();
    }
  }
}

// A final head has come: what it says about the endpoint, and what filters make of it.
void Exchange::begin_response(Try& attempt, http::Head& head) {
  responded_ = true;
  observe(attempt, kind_of(head.status));
  record_.first_byte(driver().now());
  record_.status = head.status;
  for (const config::Filters& filters : plan_.response_filters) route::filter_response(filters, head);
  if (plan_.cors) route::filter_response({&*plan_.cors, plan_.cors_origin}, head);
  if (plan_.persistence) {
    route::write_session(*plan_.persistence, plan_.session,
                         {plan_.persistence_match, plan_.persistence_backend, attempt.hop.endpoint_id, false},
                         http::unix_seconds(), head);
  }
}

// An answer of our own, in the terms of whoever asked. What is left of the request is the connection's business.
io::Task<void> Exchange::answer(LocalAnswer local) {
  http::Head head;
  head.status = local.status;
  head.headers = std::move(local.headers);
  http::Piece piece{&head, {}, nullptr, true};
  if (plan_.grpc && local.status >= 400) {
    record_.grpc_status = grpc_code_of(local.reason);
    http::grpc_answer(head, grpc_code_of(local.reason), label(local.reason));
  } else {
    piece.body = tell(head, local.reason, head_->method == "HEAD");
  }
  responded_ = true;
  record_.status = head.status;
  record_.received_bytes += piece.body.size();
  const Status written = co_await stream_.write(std::move(piece), driver().now() + kAnswerPatience);
  in_order_ = written.has_value();
}

void Exchange::begin_mirrors(const http::Piece& first) {
  for (const config::Mirror& to : plan_.mirrors) {
    mirrors_.push_back(start_mirror(client_.flow.owner, *head_, to, client_.address, client_.h2));
  }
  mirror(first);
}

void Exchange::mirror(const http::Piece& piece) {
  for (const auto& pipe : mirrors_) pipe->add(piece.body.bytes(), piece.end);
}

void Exchange::limit_by_grpc_timeout() {
  const auto timeout = http::grpc_timeout(head_->headers);
  if (timeout) deadline_ = std::min(deadline_, begun_ + *timeout);
}

}  // namespace weir::flow

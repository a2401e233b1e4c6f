#pragma once
// One HTTP request and its response, on their way through the proxy: decided (policy, route), sent to an endpoint,
// relayed both ways, recorded. Whichever versions the two sides speak, it is written once, over http::MessageStream.
// A failed try goes to another endpoint while nothing of a response has come and the request is still whole in hand.
// Thread: one worker. Lifetime: its client connection's; a scope of its own, so that a client which resets it ends
// every wait of it.
#include <functional>
#include <optional>

#include "nodeproxy/flow/hop.h"
#include "nodeproxy/flow/http_client.h"
#include "nodeproxy/flow/judged.h"
#include "nodeproxy/flow/mirror.h"
#include "nodeproxy/flow/plan.h"
#include "nodeproxy/http/message_stream.h"
#include "nodeproxy/io/signal.h"
#include "nodeproxy/policy/judge.h"
#include "nodeproxy/telemetry/request_record.h"

namespace weir::flow {

class Exchange final : public io::Scope, private http::Aborted, private Judged {
 public:
  // `done` is called when the last coroutine of it has ended; it must not destroy the exchange.
  Exchange(HttpClient& client, http::MessageStream& stream, std::function<void(Exchange&)> done);
  // As a frame's: one comes and goes with each request.
  static void* operator new(size_t size) { return io::frame_allocate(size); }
  static void operator delete(void* memory, size_t size) { io::frame_release(memory, size); }

  // `first` is the request's first piece; its head is the stream's.
  void start(http::Piece first) { spawn(run(std::move(first))); }
  // Ends it early: the flow ends, or a policy no longer allows it.
  void end(Reason why);
  // Request and response have passed in order as far as this side can tell: another may follow.
  bool in_order() const { return in_order_; }
  http::MessageStream& stream() const { return stream_; }

  struct Join {
    Exchange& exchange;
    bool await_ready() const noexcept { return exchange.empty(); }
    void await_suspend(std::coroutine_handle<> waiting) noexcept { exchange.waiting_ = waiting; }
    void await_resume() const noexcept {}
  };
  // Resumes when it has ended; not cancellable.
  Join join() { return Join{*this}; }

 private:
  // One endpoint's try.
  struct Try {
    upstream::HttpLease lease;
    balance::RequestLease held;
    Hop hop;
    io::TimePoint begun{}, deadline = io::kNever;
    std::optional<Error> client_error;   // found while passing the request on
    std::optional<Error> request_error;  // likewise, of the upstream
    bool body_begun = false;             // more than what is kept has left
    bool h2 = false;
  };

  io::Task<void> run(http::Piece first);
  io::Task<void> serve(http::Piece first);
  io::Task<void> tries(http::Piece first);
  io::Task<Result<Try>> reach();
  io::Task<Result<Try>> lease_to(Try attempt);
  io::Task<Status> admit_connection(upstream::HttpPool::Want& want, io::TimePoint deadline);
  io::Task<Result<Try>> reach_application();
  void hold(http::Piece& first);
  void keep(const http::Piece& piece);
  io::Task<Status> forward(Try& attempt, http::Piece& first);
  io::Task<void> pass_request(Try& attempt);
  io::Task<void> pass_into_tunnel(Try& attempt, io::Signal& passed);
  io::Task<Status> pass_response(Try& attempt);
  io::Task<Status> tunnel(Try& attempt, http::Piece head);
  io::Task<void> answer(LocalAnswer local);
  io::Task<bool> pause_before_retry();

  Status judge(const config::Workload& workload, uint16_t port);
  policy::Verdict verdict_of(const config::Workload& workload);
  void judge_again(const config::Workload& now) override;
  void pod_gone(Reason reason) override { end(reason); }

  void begin_response(Try& attempt, http::Head& head);
  void limit_by_grpc_timeout();
  io::TimePoint deadline_of_try() const;
  Error in_time(Error why) const;
  void begin_mirrors(const http::Piece& first);
  void mirror(const http::Piece& piece);
  bool may_retry(const Try* attempt, const Error& why);
  bool wants_retry(const http::Head& response, const Try& attempt);
  bool is_for_another_endpoint(const Error& why) const;
  bool within_budget();
  bool retry_method() const;
  // The balancer learns how the endpoint did.
  void observe(Try& attempt, balance::Outcome::Kind kind);

  void begin_record();
  void note_endpoint(const Hop& hop);
  void note_verdict(const policy::Verdict& verdict);
  void note_response(const http::Piece& piece);
  void finish_record();
  void end_destination_record(uint16_t status, const Error& why);
  void fill_refusal();

  void fail(const Error& why) {
    if (!why_) why_ = why;
  }
  void on_aborted(const Error& why) override;
  void on_empty() override;

  HttpClient& client_;
  Context& context_;
  http::MessageStream& stream_;
  std::function<void(Exchange&)> done_;
  std::coroutine_handle<> waiting_;
  http::Head* head_ = nullptr;  // the request's, as it is forwarded; the stream's
  Plan plan_;
  telemetry::RequestRecord record_;
  std::optional<telemetry::RequestRecord> destination_record_;  // in one pass: the other reporter's
  struct {
    std::string identity;
    Ip client;
    uint16_t port = 0;
  } judged_;
  std::vector<std::shared_ptr<MirrorPipe>> mirrors_;
  std::vector<io::Buffer> kept_;  // of the request behind its first piece, for another try
  size_t kept_bytes_ = 0;
  std::vector<uint64_t> tried_;
  std::optional<Error> why_;                             // what ended it; the first stands
  io::TimePoint begun_, moved_, deadline_ = io::kNever;  // moved_: a byte last passed, either way
  io::TimePoint try_deadline_ = io::kNever;
  io::Clock::duration retry_after_{};
  uint32_t attempts_ = 0;
  uint16_t wanted_status_ = 0;  // the answer that is tried again
  bool whole_ = false;          // the request came in one piece
  bool held_ = false;           // a CONNECT: nothing behind its head leaves before it is agreed to
  bool kept_all_ = true;        // kept_ is all of it
  bool request_over_ = false;   // its end has been read behind the first piece
  bool responded_ = false;      // a final head has been given to the client
  bool in_order_ = false;
  bool stale_retried_ = false;
};

}  // namespace weir::flow

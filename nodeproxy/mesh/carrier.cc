// Moving bytes between socket, TLS and lane. See carrier.h.
#include "nodeproxy/mesh/carrier.h"

#include <cstdlib>

#include "nodeproxy/io/scratch.h"

namespace weir::mesh {
namespace {

constexpr auto kTick = std::chrono::seconds(5);
constexpr auto kLastWords = std::chrono::seconds(1);  // for close_notify to leave
// A lane that brought much goes on reading into large buffers until this many receives in a row were short.
constexpr int kPatientReceives = 16;
// Behind a full flush a tail below this waits for the next one, instead of being a record and a packet of its own.
constexpr size_t kTailBytes = 1024;
// Above this in a tick a lane is bulk: whoever is small should not queue behind it.
constexpr uint64_t kBulkBytesPerTick = 64ULL << 20;

// Ended from inside, and at once. A pod that is gone has no link any more: a FIN that nobody acknowledges would keep its
// network namespace alive in an orphaned socket until the kernel is tired of repeating it, most of a minute.
bool forced(Reason reason) {
  return reason == Reason::cancelled || reason == Reason::pod_removed || reason == Reason::drain_limit;
}

}  // namespace

Carrier::Carrier(io::Driver& driver, Role role, std::unique_ptr<tls::Session> session, CarrierEvents* events,
                 LaneOptions options)
    : driver_(driver),
      tls_(std::move(session)),
      lane_(role, *this, options),
      events_(events),
      idle_since_(driver.now()),
      heard_(driver.now()),
      judged_by_(tls_->context().bundle().number()) {
  set_share(driver.share());
}

Carrier::~Carrier() {
  if (!settled()) std::abort();
  driver_.timers().disarm(*this);
  driver_.forget(*this);
}

Result<std::unique_ptr<Carrier>> Carrier::dialler(io::Driver& driver,
                                                  std::shared_ptr<const tls::Context> context,
                                                  const tls::SpiffeId& expected, LaneOptions options,
                                                  tls::VerifiedChains& chains, tls::Resumption resumption) {
  auto session = tls::Session::dial(std::move(context), expected, &chains, std::move(resumption));
  if (!session) return std::unexpected(session.error());
  return std::unique_ptr<Carrier>(new Carrier(driver, Role::dialler, std::move(*session), nullptr, options));
}

Result<std::unique_ptr<Carrier>> Carrier::acceptor(io::Driver& driver, io::Socket socket,
                                                   std::shared_ptr<const tls::Context> context,
                                                   CarrierEvents& events, LaneOptions options,
                                                   tls::VerifiedChains& chains) {
  auto session = tls::Session::accept(std::move(context), &chains);
  if (!session) return std::unexpected(session.error());
  auto carrier =
      std::unique_ptr<Carrier>(new Carrier(driver, Role::acceptor, std::move(*session), &events, options));
  carrier->socket_ = std::move(socket);
  // A dialler that vanished (its pod's link is gone, its node) says nothing more, and without sessions nobody asks it.
  carrier->socket_.set_user_timeout(limits::tcp_user_timeout_ms);
  return carrier;
}

io::Task<Status> Carrier::handshake(io::Buffer first) {
  const io::TimePoint deadline = driver_.now() + limits::handshake_timeout;
  io::Buffer buffer = std::move(first);
  if (!buffer.empty()) tls_->feed(buffer.writable());
  for (;;) {
    const auto state = tls_->handshake();
    const bool done = state && *state == tls::HandshakeState::done;
    while (!done && !tls_->output().empty()) {  // what ends the handshake leaves with the lane's first frames
      const auto bytes = tls_->output();
      const Status sent = co_await socket_.send(bytes, deadline);
      if (!sent && state) co_return sent;
      if (!sent) break;
      tls_->consume_output(bytes.size());
    }
    if (!state) co_return std::unexpected(state.error());
    if (done) {
      // What came behind the handshake is still in the receive buffer.
      serving_ = true;
      if (const Status taken = take(); !taken) co_return taken;
      heard_ = driver_.now();
      driver_.timers().arm(*this, driver_.now() + kTick);
      want_flush();
      co_return Status();
    }
    buffer = io::Buffer();  // all of it is taken; who waits keeps none
    Result<io::Buffer> more = co_await socket_.receive(io::ReceiveSize::small, deadline);
    if (!more) {
      if (more.error().reason == Reason::detect_timeout)
        co_return fail(Source::peer, Reason::handshake_timeout);
      co_return std::unexpected(more.error());
    }
    buffer = std::move(*more);
    if (buffer.empty()) co_return tls_->end_of_stream();
    tls_->feed(buffer.writable());
  }
}

// All records that are whole: decrypted where they lie, in the buffer that was fed, and handed to the lane.
Status Carrier::take() {
  for (;;) {
    const auto read = tls_->read();
    if (!read) return std::unexpected(read.error());
    if (read->kind == tls::Read::Kind::want_more) return {};
    if (read->kind == tls::Read::Kind::closed) return fail(Source::peer, Reason::none);
    window_bytes_ += read->bytes.size();
    if (const Status consumed = lane_.consume(read->bytes); !consumed) return consumed;
  }
}

io::Task<Error> Carrier::read_until_end() {
  int busy = 0;
  for (;;) {
    Result<io::Buffer> buffer =
        co_await socket_.receive(busy > 0 ? io::ReceiveSize::large : io::ReceiveSize::small);
    if (!buffer) co_return ended_ ? *ended_ : buffer.error();
    if (buffer->empty()) {
      const Status status = tls_->end_of_stream();
      co_return status ? Error{Source::peer, Reason::none, 0, {}} : status.error();
    }
    heard_ = driver_.now();
    if (busy > 0) --busy;
    if (buffer->size() >= limits::receive_buffer_small_bytes) busy = kPatientReceives;
    tls_->feed(buffer->writable());
    const Status taken = take();
    want_flush();
    if (!taken) co_return taken.error();
    if (ended_) co_return *ended_;
  }
}

namespace {

struct CurrentScope {
  io::Scope* scope = nullptr;
  bool await_ready() const noexcept { return false; }
  template <typename Promise>
  bool await_suspend(std::coroutine_handle<Promise> waiting) noexcept {
    scope = waiting.promise().scope;
    return false;
  }
  io::Scope* await_resume() const noexcept { return scope; }
};

}  // namespace

io::Task<void> Carrier::run() {
  scope_ = co_await CurrentScope{};
  if (ended_) scope_->cancel();  // closed before it ran
  Error why = co_await read_until_end();
  scope_ = nullptr;
  co_await give_up(std::move(why));
}

io::Task<void> Carrier::give_up(Error why) {
  end(std::move(why));
  co_await finish();
  co_await Settled{*this};
  if (socket_ && forced(ended_->reason))
    socket_.set_reset_on_close(true);  // none: it was still being dialled
  socket_.close();
}

// The lane's end: sessions are told. A connection that ended in order still took open sessions' peers away.
void Carrier::end(Error why) {
  if (why.reason == Reason::none && lane_.sessions() > 0) why.reason = Reason::peer_lost;
  if (why.reason == Reason::truncated || why.reason == Reason::io) why.reason = Reason::peer_lost;
  if (!ended_) ended_ = why;
  if (!lane_.ended()) lane_.fail(*ended_);
}

// Last words (an alert, close_notify) within a bounded time; whatever is being sent is waited for.
io::Task<void> Carrier::finish() {
  finishing_ = true;
  driver_.timers().disarm(*this);
  if (socket_ && tls_->established()) {
    tls_->shutdown();
    if (!in_flight()) send_output();
  }
  if (in_flight()) driver_.timers().arm(*this, driver_.now() + kLastWords);
  co_return;
}

Result<Session*> Carrier::open(const OpenInfo& info, SessionEvents& events) {
  if (ended_) return std::unexpected(*ended_);
  auto session = lane_.open(info, events);
  if (session) want_flush();
  return session;
}

void Carrier::close(const Error& why) {
  if (!ended_) ended_ = why;
  if (!lane_.ended() && lane_.sessions() > 0) lane_.fail(why);
  if (scope_) scope_->cancel();
}

bool Carrier::judge_peer(const tls::Bundle& bundle) {
  if (!established() || ended_ || bundle.number() <= judged_by_) return false;
  judged_by_ = bundle.number();
  if (const Status verdict = tls_->judge_again(bundle); !verdict) {
    tls_->refuse(verdict.error().reason);
    close(verdict.error());
  }
  return true;
}

void Carrier::drain() {
  if (draining_) return;
  draining_ = true;
  if (lane_.sessions() == 0) idle_since_ = driver_.now();
  lane_.goaway(RstReason::draining);
  want_flush();
  close_if_over();
}

// Nothing more will come of this lane. An acceptor leaves it to the dialler to close, for a while.
bool Carrier::over() const {
  if (lane_.sessions() > 0 || !(draining_ || lane_.goaway_received())) return false;
  return lane_.role() == Role::dialler || driver_.now() - idle_since_ >= kTick;
}

void Carrier::close_if_over() {
  if (serving_ && !finishing_ && over()) driver_.timers().arm(*this, driver_.now());
}

void Carrier::released() { check_settled(); }

void Carrier::check_settled() {
  if (waiting_ && settled()) driver_.ready(std::exchange(waiting_, {}), share());
}

// The flush of this turn: frames of all sessions in turn, as few records and one send.
void Carrier::run_deferred() {
  if (!serving_ || in_flight() || ended_) return;
  thread_local Plaintext flush;
  while (lane_.wants_output() && tls_->output_bytes() < limits::lane_output_bytes) {
    flush.begin(io::scratch(limits::lane_output_bytes));
    lane_.produce(flush);
    const size_t produced = flush.bytes();
    if (produced == 0) break;
    window_bytes_ += produced;
    const Status written = tls_->write(flush.pieces());
    flush.end();
    lane_.produced();
    if (!written) return close(written.error());
    if (produced > limits::lane_output_bytes / 2 && lane_.queued_bytes() < kTailBytes) break;
  }
  send_output();
}

void Carrier::send_output() {
  if (!tls_->output().empty()) driver_.send(*this, socket_.fd(), tls_->output(), false);
}

void Carrier::complete(int32_t result, io::Buffer, bool) {
  if (result < 0) {
    if (!finishing_) close(Error{Source::peer, reason_of_errno(-result), -result, {}});
    check_settled();
    return;
  }
  tls_->consume_output(static_cast<size_t>(result));
  if (!tls_->output().empty()) {
    send_output();
  } else if (finishing_) {
    check_settled();
  } else if (lane_.wants_output()) {
    driver_.defer(*this);
  }
}

void Carrier::fire() {
  if (finishing_) {
    if (in_flight()) driver_.cancel(*this);
    return;
  }
  bulky_ = window_bytes_ > kBulkBytesPerTick;
  window_bytes_ = 0;
  if (over()) {
    close(Error{Source::local, Reason::none, 0, {}});
    return;
  }
  const auto silence = driver_.now() - heard_;
  if (lane_.sessions() > 0 &&
      silence > limits::lane_ping + std::chrono::milliseconds(limits::tcp_user_timeout_ms)) {
    close(Error{Source::peer, Reason::peer_lost, 0, {}});
    return;
  }
  if (lane_.sessions() > 0 && silence > limits::lane_ping) {
    lane_.ping(1);
    want_flush();
  }
  driver_.timers().arm(*this, driver_.now() + kTick);
}

}  // namespace weir::mesh

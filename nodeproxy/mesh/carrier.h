#pragma once
// A carrier: a lane on its connection. It owns the socket, the TLS session and the Lane, moves bytes between them, and
// sends once per turn what all sessions of the lane produced in it: few records, few packets, few wake-ups.
// Reading never waits for an application; writing never queues more than a flush, so fairness stays in the lane.
// Owner: an upstream::LanePool (dialler) or an inbound flow (acceptor). Thread: one worker. Lifetime: run() returns when
// the connection has ended and every session of it has been given back.
#include <memory>

#include "nodeproxy/io/socket.h"
#include "nodeproxy/mesh/lane.h"
#include "nodeproxy/tls/session.h"

namespace weir::mesh {

class CarrierEvents {
 public:
  virtual void on_session(Session& session,
                          const OpenInfo& info) = 0;          // acceptor: must set events or reset it
  virtual void on_session_refused(const OpenInfo& info) = 0;  // no room for its window

 protected:
  ~CarrierEvents() = default;
};

class Carrier final : private LaneEvents, private io::Op, private io::Deferred, private io::Timer {
 public:
  // `socket` may be unconnected yet (dialler): see connected(). `events` is null for a dialler.
  static Result<std::unique_ptr<Carrier>> dialler(io::Driver& driver,
                                                  std::shared_ptr<const tls::Context> context,
                                                  const tls::SpiffeId& expected, LaneOptions options,
                                                  tls::VerifiedChains& chains, tls::Resumption resumption);
  static Result<std::unique_ptr<Carrier>> acceptor(io::Driver& driver, io::Socket socket,
                                                   std::shared_ptr<const tls::Context> context,
                                                   CarrierEvents& events, LaneOptions options,
                                                   tls::VerifiedChains& chains);
  ~Carrier() override;

  void connected(io::Socket socket) { socket_ = std::move(socket); }
  // `first` is what detection read (acceptor). Bounded by limits::handshake_timeout. Errors: tls::Session's reasons,
  // handshake_timeout, or the socket's. On an error the lane has ended.
  io::Task<Status> handshake(io::Buffer first);
  // After the handshake: serves the lane until the connection ends, then until its sessions are given back.
  io::Task<void> run();
  // For a carrier that never got as far as run(): ends the lane and waits for its sessions.
  io::Task<void> give_up(Error why);

  // Dialler; may be called before the handshake is done: OPEN goes out with the first flush.
  Result<Session*> open(const OpenInfo& info, SessionEvents& events);
  // Ends the carrier: in order when it has no sessions, else they are reset with this reason. run() returns soon.
  void close(const Error& why);
  // No new sessions; ends when the last one has. The dialler closes first, also when it was the acceptor who said
  // GOAWAY: TIME_WAIT then stands on the dialler's port, and not on the application's, which may want to listen again.
  void drain();

  // The trust bundle is another now: a peer that it does not trust is told so by an alert, and its sessions end at once.
  // Whether there was something to judge: a lane is judged once by each bundle.
  bool judge_peer(const tls::Bundle& bundle);

  // Something of a session changed: it has bytes, credit or a reset to send. Sent at the end of the turn.
  void want_flush() {
    if (lane_.wants_output()) driver_.defer(*this);
  }
  // A session was given back; may complete run().
  void released();

  Lane& lane() { return lane_; }
  const Lane& lane() const { return lane_; }
  bool established() const { return tls_->established(); }
  bool resumed() const { return tls_->resumed(); }
  const std::string& peer_identity() const { return tls_->peer_identity().uri(); }
  const std::optional<Error>& ended() const { return ended_; }
  io::TimePoint idle_since() const { return idle_since_; }
  bool bulky() const { return bulky_; }  // moves so much that new sessions should not share it

 private:
  Carrier(io::Driver& driver, Role role, std::unique_ptr<tls::Session> session, CarrierEvents* events,
          LaneOptions options);

  void on_open(Session& session, const OpenInfo& info) override { events_->on_session(session, info); }
  void on_refused(const OpenInfo& info) override { events_->on_session_refused(info); }
  void on_goaway(const Goaway&) override { close_if_over(); }
  void on_idle() override {
    idle_since_ = driver_.now();
    close_if_over();
  }
  void on_pong(uint64_t) override {}
  void run_deferred() override;                                          // flush
  void complete(int32_t result, io::Buffer buffer, bool more) override;  // of a send
  void fire() override;                                                  // keepalive, or the end of patience

  bool over() const;
  void close_if_over();
  Status take();
  void end(Error why);
  io::Task<Error> read_until_end();
  io::Task<void> finish();
  void send_output();

  // Resumes its coroutine whatever has been cancelled: a carrier must not go while the kernel or a session uses it.
  struct Settled {
    Carrier& carrier;
    bool await_ready() const { return carrier.settled(); }
    void await_suspend(std::coroutine_handle<> waiting) { carrier.waiting_ = waiting; }
    void await_resume() const {}
  };
  bool settled() const { return !in_flight() && lane_.idle(); }
  void check_settled();

  io::Driver& driver_;
  io::Socket socket_;
  std::unique_ptr<tls::Session> tls_;
  Lane lane_;
  CarrierEvents* events_;
  std::optional<Error> ended_;
  std::coroutine_handle<> waiting_;
  io::Scope* scope_ = nullptr;  // run()'s, to end its receive
  io::TimePoint idle_since_, heard_;
  uint64_t judged_by_ = 0;     // the last bundle's number
  uint64_t window_bytes_ = 0;  // moved since the last tick
  bool serving_ = false, draining_ = false, bulky_ = false, finishing_ = false;
};

}  // namespace weir::mesh

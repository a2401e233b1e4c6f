#pragma once
// A lane: the sessions of one mTLS connection between two proxies (mesh-protocol.md "Sessions and lanes"). Plaintext in
// (consume), plaintext out (produce); no sockets, no clocks, so the simulator drives it as the worker does.
//
//   received bytes → tls read() → consume(plaintext) → events of the sessions
//   wants_output() → produce(flush) → tls write() → produced() → send. As often as the socket takes more; once per
//   loop iteration.
//
// A peer that breaks a rule ends the lane: consume gives the error, every session has had on_reset. So does fail(),
// when the connection ended otherwise. An ended lane is kept until its sessions are released: see idle().
// Owner: upstream/ (dialler) or the inbound flow (acceptor). Thread: one worker. Lifetime: longer than its sessions.
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "nodeproxy/base/budget.h"
#include "nodeproxy/base/error.h"
#include "nodeproxy/base/limits.h"
#include "nodeproxy/mesh/frame.h"
#include "nodeproxy/mesh/plaintext.h"
#include "nodeproxy/mesh/ready_queue.h"
#include "nodeproxy/mesh/session.h"
#include "nodeproxy/mesh/session_table.h"

namespace weir::mesh {

struct LaneCounters {
  uint64_t sessions_opened = 0, sessions_closed = 0;
  uint64_t frames_sent = 0, frames_received = 0;
  uint64_t bytes_sent = 0, bytes_received = 0;  // of sessions, without headers
};

class LaneEvents {
 public:
  virtual ~LaneEvents() = default;
  // Acceptor: a session begins; it must get its events here, or be reset. DATA may follow in the same consume.
  virtual void on_open(Session&, const OpenInfo&) {}
  // Acceptor: a session was refused, as a budget has no room for its window.
  virtual void on_refused(const OpenInfo&) {}
  // The peer accepts nothing above its last session; sessions above it have had on_reset(draining, retryable).
  virtual void on_goaway(const Goaway&) {}
  virtual void on_pong(uint64_t) {}
  virtual void on_idle() {
  }  // the last session was given back; the lane may be destroyed, but not inside this call
};

struct LaneOptions {
  Settings settings = {};
  // What receive windows are taken from, of both: what a destination pod may grant its peers, and what may be granted to
  // this one, whichever lanes they have. None: windows are bounded by sessions × session_window_max_bytes only.
  Budget* budget = nullptr;
  Budget* peer_budget = nullptr;
  uint32_t window_max_bytes = limits::session_window_max_bytes;
};

class Lane {
 public:
  Lane(Role role, LaneEvents& events, LaneOptions options = {});
  ~Lane();  // all sessions released; else their holders would keep dangling pointers, and the process stops
  Lane(const Lane&) = delete;

  // Dialler: a new session; OPEN goes out with the next produce, data may be written at once. Errors: overloaded (the
  // peer's or our most sessions, the budget), draining (GOAWAY came or was sent), else the lane's own end.
  Result<Session*> open(const OpenInfo& info, SessionEvents& events);
  bool can_open() const;

  // What TLS read, in any split. Payloads go to on_data without a copy.
  Status consume(std::span<const std::byte> plaintext);

  bool wants_output() const;
  // Fills `flush` with frames: control first, then DATA in turn; nothing: there was none. Give it room for
  // limits::lane_output_bytes, so that full TLS records come of it, and at least 2 KiB. No other call before produced().
  void produce(Plaintext& flush);
  // What was produced has been used, and its memory given back: tells those who waited for their queues to drain.
  void produced();

  void ping(uint64_t token);
  // No session after the last accepted one (acceptor), none opened any more (dialler). Open ones go on.
  void goaway(RstReason reason);
  // The connection is gone, or must go: on_reset(error.reason) to every session, retryable for those not opened.
  void fail(const Error& error);

  Role role() const { return role_; }
  const std::optional<Error>& ended() const { return ended_; }
  const char* broken_rule() const { return broken_rule_; }  // which rule, for the log; null: none
  size_t sessions() const { return live_; }                 // open on the wire
  bool idle() const { return allocated_ == 0; }             // no session held by anybody: may be destroyed
  bool goaway_received() const { return goaway_received_; }
  bool goaway_sent() const { return goaway_sent_; }
  const std::optional<Settings>& peer_settings() const { return peer_settings_; }
  size_t queued_bytes() const { return queued_bytes_; }  // of all sessions
  const LaneCounters& counters() const { return counters_; }

 private:
  friend class Session;

  // lane.cc
  Session* make_session(uint32_t id);
  void free_session(Session* session);
  void end_session(Session* session);     // off the wire; freed too when it is released
  void finish_if_done(Session* session);  // both FINs through
  void reset_by_peer(Session* session, Reason reason, bool retryable);
  bool take_window(size_t bytes, bool (Budget::*room)(size_t) const);
  void give_back_window(size_t bytes);
  bool control_overflow() const {
    return control_.size() - control_begin_ > limits::lane_control_queue_bytes;
  }
  // lane_receive.cc: each gives the rule that was broken, or null.
  const char* on_header();
  const char* on_payload(std::span<const std::byte> payload);
  const char* on_settings(std::span<const std::byte> payload);
  const char* on_open(std::span<const std::byte> payload);
  const char* on_fin();
  const char* on_rst(std::span<const std::byte> payload);
  const char* on_credit(std::span<const std::byte> payload);
  const char* on_goaway(std::span<const std::byte> payload);
  void on_data(std::span<const std::byte> bytes);
  bool never_opened(uint32_t id) const;
  void return_credit(Session* session, size_t bytes);
  // lane_send.cc
  void produce_control(Plaintext& flush);
  void produce_credits(Plaintext& flush);
  void produce_data(Plaintext& flush);
  bool produce_session(Session* session, Plaintext& flush);
  void make_ready(Session* session);
  void drop_queue(Session* session);

  const Role role_;
  LaneEvents& events_;
  const LaneOptions options_;
  std::optional<Settings> peer_settings_;
  std::optional<Error> ended_;
  const char* broken_rule_ = nullptr;

  SessionTable table_;
  ReadyQueue ready_;
  std::vector<uint32_t> credit_ids_;  // sessions that owe the peer a CREDIT
  std::vector<uint32_t> drained_;     // on_drained to call in produced()
  uint32_t next_id_ = 1;              // dialler: the next to open
  uint32_t last_accepted_ = 0;        // acceptor: the highest id seen in OPEN
  uint32_t goaway_last_ = 0;          // what the peer said
  size_t live_ = 0, allocated_ = 0, queued_bytes_ = 0;

  std::vector<std::byte> control_;  // whole frames to send
  size_t control_begin_ = 0;

  // The frame being received.
  std::array<std::byte, kHeaderBytes> header_bytes_{};
  uint8_t header_filled_ = 0;
  FrameHeader header_;
  uint16_t payload_left_ = 0;
  bool in_payload_ = false;
  std::vector<std::byte> payload_;  // a control frame cut by the end of a record

  LaneCounters counters_;
  bool goaway_received_ = false, goaway_sent_ = false;
};

}  // namespace weir::mesh

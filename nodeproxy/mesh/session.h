#pragma once
// One application connection inside a lane: a byte stream each way with credit, half-close, and reset with a reason.
// Got from Lane::open (dialler) or LaneEvents::on_open (acceptor), and given back with release(), exactly once, in
// every case: also after on_reset. Until then the pointer is good, whatever the peer does.
// Owner: the Lane owns the memory, a flow holds the use of it. Thread: the lane's worker.
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "nodeproxy/base/error.h"
#include "nodeproxy/io/buffer_queue.h"
#include "nodeproxy/mesh/frame.h"
#include "nodeproxy/mesh/plaintext.h"

namespace weir::mesh {

class Lane;

// What happens to a session. Called from Lane::consume and Lane::fail, on_drained from Lane::produced. Inside, every
// method of this and other sessions may be called, release() too; the lane may not be destroyed.
class SessionEvents {
 public:
  virtual ~SessionEvents() = default;
  virtual void on_opened() {}  // dialler: the application accepted
  // The peer's bytes, in order; they must be used or copied before returning. Session::consumed(n) gives back credit
  // when they have left this proxy: what is neither is bounded by the window.
  virtual void on_data(std::span<const std::byte> bytes) = 0;
  virtual void on_fin() = 0;  // the peer will send no more (half-close)
  // The session is over in both directions; what was queued is dropped. `retryable`: another endpoint may be tried.
  virtual void on_reset(Reason reason, bool retryable) = 0;
  virtual void on_drained() {}  // queued() fell below kSendLowWaterBytes from above it, or to 0 with FIN sent
};

inline constexpr size_t kSendLowWaterBytes = 32 * 1024;

class Session {
 public:
  uint32_t id() const { return id_; }
  Lane& lane() const { return *lane_; }
  void set_events(SessionEvents* events) { events_ = events; }  // acceptor, in on_open; null: nothing is told

  // Acceptor: the application accepted. Data may be written before; it follows OPENED.
  void accept_open();
  // Queues what it now owns. Ignored once the session is over or finished.
  void write(io::Buffer buffer);
  void fin();  // after what is queued
  // Over at once: RST to the peer, queues dropped, no event. Nothing when it is over already.
  void reset(RstReason reason);
  void consumed(size_t bytes);  // of what on_data gave
  // Given back. Still live: what is queued and finished in both directions goes out first, anything else is RST
  // (cancelled). No event after this.
  void release();

  size_t queued_bytes() const { return queue_.size(); }          // written, not yet produced
  size_t unconsumed_bytes() const { return unconsumed_bytes_; }  // received, not yet consumed()
  bool opened() const { return opened_; }
  bool fin_sent() const { return fin_sent_; }  // produced, not only asked for
  bool fin_received() const { return fin_received_; }
  bool over() const { return over_; }  // reset by either side, lane ended, or both FINs through
  uint64_t bytes_sent() const { return bytes_sent_; }
  uint64_t bytes_received() const { return bytes_received_; }

 private:
  friend class Lane;
  friend class ReadyQueue;
  Session(Lane* lane, uint32_t id) : lane_(lane), id_(id) {}
  ~Session() = default;
  void take_queued(size_t bytes, Plaintext& out);  // off the front of the queue
  bool sendable() const;                           // has bytes and credit, or a FIN whose turn it is

  Lane* lane_;
  SessionEvents* events_ = nullptr;
  uint32_t id_;

  // Send side.
  uint32_t send_credit_ = 0;
  int32_t deficit_bytes_ = 0;  // what this turn may still send (ready_queue.h)
  io::BufferQueue queue_;
  Session* ready_next_ = nullptr;  // ready_queue.h
  Session* ready_prev_ = nullptr;

  // Receive side.
  uint32_t window_bytes_ = 0;
  uint32_t receive_credit_ = 0;  // what the peer may still send
  uint32_t credit_due_ = 0;      // consumed, not yet returned
  uint32_t unconsumed_bytes_ = 0;

  uint64_t bytes_sent_ = 0, bytes_received_ = 0;
  uint8_t ready_list_ = 0;  // ready_queue.h
  bool opened_ : 1 = false, fin_wanted_ : 1 = false, fin_sent_ : 1 = false, fin_received_ : 1 = false,
                 over_ : 1 = false, released_ : 1 = false, limited_ : 1 = false, above_low_water_ : 1 = false,
                 credit_listed_ : 1 = false, ran_dry_ : 1 = false;
};

}  // namespace weir::mesh

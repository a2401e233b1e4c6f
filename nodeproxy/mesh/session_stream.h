#pragma once
// A session as a coroutine reads and writes it: bytes that came wait here (bounded by the session's window) until they
// are read, and are credited to the peer when the next read says that they have been passed on; a write waits while
// much is queued before it.
// Thread: one worker. Lifetime: a flow's; gives the session back when it goes.
#include <optional>
#include <vector>

#include "nodeproxy/io/signal.h"
#include "nodeproxy/mesh/carrier.h"

namespace weir::mesh {

class SessionStream final : private SessionEvents {
 public:
  SessionStream() = default;
  SessionStream(const SessionStream&) = delete;
  SessionStream& operator=(const SessionStream&) = delete;
  ~SessionStream() override { give_back(); }

  // Acceptor: takes the session in CarrierEvents::on_session.
  void attach(Carrier& carrier, Session& session);
  // Dialler: opens one. Errors: Carrier::open's.
  Status open(Carrier& carrier, const OpenInfo& info);

  void accept_open();
  bool opened() const { return session_ && session_->opened(); }
  // Its lane's handshake is done: what it says is heard by the peer.
  bool through() const { return session_ && carrier_->established(); }
  const std::optional<Error>& failed() const { return failed_; }
  // The peer said GOAWAY: its lane takes no new sessions, and should be let go.
  bool leaving() const { return session_ && carrier_->lane().goaway_received(); }
  // The peer said that nothing of it reached an application: another endpoint may be tried.
  bool retryable() const { return retryable_; }
  // More: it is proved that nothing did. A lane that broke before OPENED came back, and an OPEN that there was no answer
  // to, prove it only if no byte had left.
  bool untouched() const { return failed_ ? untouched_ : !session_ || session_->bytes_sent() == 0; }
  // Notified when it is opened or has failed; also by whoever wants the waiter to look.
  io::Signal& opened_signal() { return opened_; }

  class Read;
  class Write;
  // Result<Buffer>, empty at FIN. Errors: the reason of the reset.
  // At the deadline detect_timeout.
  Read read(io::TimePoint deadline = io::kNever);
  bool at_fin() const { return fin_ && received_.empty() && !failed_; }  // the next read gives FIN
  // Status; waits until little is queued.
  Write write(io::Buffer buffer, io::TimePoint deadline = io::kNever);
  // Queues without waiting: for the first bytes, which fit the first window.
  void write_now(io::Buffer buffer);
  void finish();
  // Ends it early with this reason; nothing when it has ended.
  void abandon(Reason reason);

 private:
  friend class Read;
  friend class Write;

  void on_opened() override { opened_.notify(); }
  void on_data(std::span<const std::byte> bytes) override;
  void on_fin() override;
  void on_reset(Reason reason, bool retryable) override;
  void on_drained() override { drained_.notify(); }
  bool readable() const { return !received_.empty() || fin_ || failed_; }
  bool writable() const { return failed_ || !session_ || session_->queued_bytes() < kSendHighWaterBytes; }
  void credit();
  void give_back();

  static constexpr size_t kSendHighWaterBytes = 64 * 1024;

  Carrier* carrier_ = nullptr;
  Session* session_ = nullptr;
  io::Signal opened_, changed_, drained_;
  std::vector<io::Buffer> received_;  // in order; usually none or one
  size_t uncredited_bytes_ = 0;
  std::optional<Error> failed_;
  bool fin_ = false;
  bool retryable_ = false, untouched_ = false;
  bool busy_ = false;  // the last read was a full record or more: room is made for several
};

class SessionStream::Read {
 public:
  Read(SessionStream& stream, io::TimePoint deadline)
      : stream_(stream), wait_(stream.changed_.wait(deadline)) {}
  bool await_ready() {
    stream_.credit();
    if (!stream_.readable()) stream_.changed_.clear();
    return stream_.readable();
  }
  template <typename Promise>
  bool await_suspend(std::coroutine_handle<Promise> waiting) {
    waited_ = true;
    return wait_.await_suspend(waiting);
  }
  Result<io::Buffer> await_resume();

 private:
  SessionStream& stream_;
  io::Signal::Wait wait_;
  bool waited_ = false;
};

class SessionStream::Write {
 public:
  Write(SessionStream& stream, io::Buffer buffer, io::TimePoint deadline)
      : stream_(stream), wait_(stream.drained_.wait(deadline)) {
    stream.write_now(std::move(buffer));
  }
  bool await_ready() {
    if (!stream_.writable()) stream_.drained_.clear();
    return stream_.writable();
  }
  template <typename Promise>
  bool await_suspend(std::coroutine_handle<Promise> waiting) {
    waited_ = true;
    return wait_.await_suspend(waiting);
  }
  Status await_resume();

 private:
  SessionStream& stream_;
  io::Signal::Wait wait_;
  bool waited_ = false;
};

inline SessionStream::Read SessionStream::read(io::TimePoint deadline) { return Read(*this, deadline); }
inline SessionStream::Write SessionStream::write(io::Buffer buffer, io::TimePoint deadline) {
  return Write(*this, std::move(buffer), deadline);
}

}  // namespace weir::mesh

#pragma once
// An HTTP/2 connection on its byte stream: one coroutine reads and feeds, one writes what all streams of a turn produced
// together; pings find a peer that has gone. What H2Client and H2Server share.
// Thread: one worker. Lifetime: its owner's, who runs read() and write() in a scope of its own and joins them.
#include <memory>

#include "nodeproxy/http/h2_connection.h"
#include "nodeproxy/http/h2_message.h"
#include "nodeproxy/io/byte_stream.h"
#include "nodeproxy/io/driver.h"
#include "nodeproxy/io/signal.h"

namespace weir::http {

class H2Wire : private h2::Events, private io::Deferred, private io::Timer {
 public:
  H2Wire(io::Driver& driver, io::ByteStream& bytes, h2::Role role);
  ~H2Wire() override;

  io::Task<void> read();
  // Returns when the connection has ended and what could be said was said.
  io::Task<void> write();
  void put_back(io::Buffer first) { first_ = std::move(first); }

  h2::Connection& connection() { return *connection_; }
  const h2::Connection& connection() const { return *connection_; }
  io::Driver& driver() { return driver_; }
  io::ByteStream& bytes() { return bytes_; }
  // The peer's first words have come, or none will.
  bool heard_settings() const { return heard_settings_ || read_over_; }
  // Something was queued: sent at the end of the turn.
  void flush() {
    if (connection_->wants_output() || connection_->finished()) driver_.defer(*this);
  }
  // Waits until the other end has accepted the connection; any number of streams may.
  io::Task<Status> accepted(io::TimePoint deadline);
  // Ends it now: GOAWAY for a reason, everything reset.
  void terminate(Reason why);
  bool over() const { return over_; }
  // Over, with everything flushed: the bytes may end in order.
  bool said_goodbye() const { return over_ && !lost_; }
  // A client: one of its streams became a tunnel.
  bool carried_tunnel() const { return carried_tunnel_; }
  io::TimePoint heard() const { return heard_; }  // when the peer last said something

 protected:
  // A server: a new request. The message is the wire's to keep.
  virtual void on_request(H2Message&) {}
  virtual void on_request_too_large(H2Message&) {}
  virtual void on_ping_answered() {}
  virtual void on_room() {}  // a stream is over, or the peer's limits have changed
  virtual void on_over() {}  // nothing will come or go any more
  H2Message& add(uint32_t stream);
  void remove(H2Message& message);
  uint32_t unopened() const;  // a client's messages that have not become streams yet

 private:
  friend class H2Message;
  void on_head(uint32_t stream, Head&& head, bool end) override;
  void on_head_too_large(uint32_t stream, Head&& head, bool end) override;
  void on_data(uint32_t stream, std::span<const std::byte> bytes) override;
  void on_trailers(uint32_t stream, Headers&& trailers) override;
  void on_end(uint32_t stream) override;
  void on_reset(uint32_t stream, Reason reason, uint32_t error_code, bool unprocessed) override;
  void on_closed(uint32_t stream) override;
  void on_drained(uint32_t stream) override;
  void on_goaway(uint32_t, uint32_t) override { on_room(); }
  void on_settings() override;
  void on_pong() override { on_ping_answered(); }
  void run_deferred() override { output_.notify(); }
  void fire() override;
  H2Message* message(uint32_t stream) const { return static_cast<H2Message*>(connection_->user(stream)); }
  void end_of_bytes(const Error& why);
  void wake_unopened();
  void note_tunnel() { carried_tunnel_ = true; }

  io::Driver& driver_;
  io::ByteStream& bytes_;
  std::unique_ptr<h2::Connection> connection_;
  io::Buffer first_;
  io::Signal output_;
  io::TimePoint heard_;
  std::vector<std::unique_ptr<H2Message>> messages_;
  std::vector<io::Signal*> accept_waiters_;  // beside the one who asks the byte stream
  std::optional<Status> accepted_;
  bool accepting_ = false;
  bool pinged_ = false;
  bool heard_settings_ = false;
  bool read_over_ = false;
  bool carried_tunnel_ = false;
  bool over_ = false;
  bool lost_ = false;  // a write failed, or the peer's stream broke
};

}  // namespace weir::http

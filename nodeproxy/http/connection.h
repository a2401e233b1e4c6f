#pragma once
// A connection that carries exchanges as their client: one at a time (HTTP/1.1), or many (HTTP/2). It owns the byte
// stream and the coroutines that read (and write) it; exchanges hold MessageStreams of it.
// Thread: one worker. Lifetime: its pool's, until it is empty() and holds no exchange.
#include <memory>

#include "nodeproxy/http/message_stream.h"
#include "nodeproxy/io/byte_stream.h"
#include "nodeproxy/io/scope.h"

namespace weir::http {

class ClientConnection;

// Told, from the loop and not from inside a call, when a connection's coroutines have ended or a place became free.
class ClientConnectionEvents {
 public:
  virtual void on_connection_ended(ClientConnection& connection) = 0;
  virtual void on_connection_free(ClientConnection& connection) = 0;

 protected:
  ~ClientConnectionEvents() = default;
};

class ClientConnection : public io::Scope {
 public:
  ClientConnection(io::Driver& driver, std::unique_ptr<io::ByteStream> bytes, ClientConnectionEvents& events)
      : io::Scope(driver),
        carrier_(std::move(bytes)),
        events_(events),
        begun_(driver.now()),
        idle_since_(driver.now()) {}

  virtual void start() = 0;
  // Whether begin() would give a stream: nothing has ended it, its peer takes one more and stays, and it is not retired.
  virtual bool can_begin() const = 0;
  // A new exchange. Only after can_begin().
  virtual MessageStream& begin() = 0;
  // The exchange gives its stream back. An HTTP/1.1 connection whose exchange did not end in order ends too.
  virtual void give_back(MessageStream& stream) = 0;
  // Whether the stream failed before any of the request could have reached an application.
  virtual bool unprocessed(const MessageStream& stream) const = 0;
  // No new exchanges; ends when the last has.
  void retire() {
    retired_ = true;
    if (exchanges_ == 0) end(Reason::none);
  }
  // Ends it now: in order for Reason::none, else exchanges see this reason.
  virtual void end(Reason why) = 0;

  uint32_t exchanges() const { return exchanges_; }
  uint64_t exchanges_begun() const { return begun_exchanges_; }
  io::TimePoint begun() const { return begun_; }
  io::TimePoint idle_since() const { return idle_since_; }
  bool retired() const { return retired_; }
  bool leaving() const { return carrier_->leaving(); }  // its peer wants to go, and waits for us

 protected:
  void on_empty() override { events_.on_connection_ended(*this); }
  void exchange_begun() {
    ++exchanges_;
    ++begun_exchanges_;
  }
  // The last thing that give_back() does: it may destroy the connection.
  void exchange_ended() {
    --exchanges_;
    idle_since_ = driver().now();
    if (ended_) {
      if (exchanges_ == 0 && empty()) on_empty();
    } else if (exchanges_ == 0 && retired_) {
      end(Reason::none);
    } else {
      events_.on_connection_free(*this);
    }
  }
  // The last thing that end() does: it may destroy the connection.
  void ending() {
    ended_ = true;
    cancel();
    if (empty() && exchanges_ == 0) on_empty();
  }
  bool ended() const { return ended_; }
  // Ended, but its coroutines go on for a moment.
  void mark_ending() { ended_ = true; }
  // Ended, while an exchange still holds it: its coroutines end, exchange_ended() does the rest.
  void mark_ended() {
    ended_ = true;
    cancel();
  }

  std::unique_ptr<io::ByteStream> carrier_;

 private:
  ClientConnectionEvents& events_;
  io::TimePoint begun_, idle_since_;
  uint32_t exchanges_ = 0;
  uint64_t begun_exchanges_ = 0;
  bool retired_ = false;
  bool ended_ = false;
};

// A connection of either version on these bytes, not started yet.
std::unique_ptr<ClientConnection> make_client(io::Driver& driver, std::unique_ptr<io::ByteStream> bytes,
                                              ClientConnectionEvents& events, bool h2);

}  // namespace weir::http

#pragma once
// The server's side of an HTTP/2 connection: every stream that the client opens is a request.
// Thread: one worker. Lifetime: a local of the corridor, which runs read() and write() beside it.
#include "nodeproxy/http/h2_wire.h"

namespace weir::http {

class H2ServerEvents {
 public:
  // The stream is good until release().
  virtual void on_request(MessageStream& stream, Piece first) = 0;
  virtual void on_request_too_large(MessageStream& stream, Piece first) = 0;

 protected:
  ~H2ServerEvents() = default;
};

class H2Server final : public H2Wire {
 public:
  H2Server(io::Driver& driver, io::ByteStream& bytes, H2ServerEvents& events)
      : H2Wire(driver, bytes, h2::Role::server), events_(events) {}

  // The exchange of the stream has ended.
  void release(MessageStream& stream);
  // Notified when the connection is over.
  io::Signal& changed() { return changed_; }
  // GOAWAY in two steps (RFC 9113 section 6.8): first what is still on its way is welcome; a round trip later nothing
  // above the last stream is.
  void drain();

 private:
  void on_request(H2Message& message) override { events_.on_request(message, message.take()); }
  void on_request_too_large(H2Message& message) override {
    events_.on_request_too_large(message, message.take());
  }
  void on_ping_answered() override;
  void on_over() override { changed_.notify(); }

  H2ServerEvents& events_;
  io::Signal changed_;
  bool draining_ = false;
};

}  // namespace weir::http

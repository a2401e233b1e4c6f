#pragma once
// The client's side of an HTTP/2 connection: many exchanges at a time, as many as the peer allows.
// Thread: one worker. Lifetime: its pool's.
#include "nodeproxy/http/connection.h"
#include "nodeproxy/http/h2_wire.h"

namespace weir::http {

class H2Client final : public ClientConnection, private H2Wire {
 public:
  H2Client(io::Driver& driver, std::unique_ptr<io::ByteStream> bytes, ClientConnectionEvents& events)
      : ClientConnection(driver, std::move(bytes), events), H2Wire(driver, *carrier_, h2::Role::client) {}

  void start() override;
  bool can_begin() const override {
    return !ended() && !retired() && !leaving() && !connection().ended() && connection().can_open(unopened());
  }
  MessageStream& begin() override;
  void give_back(MessageStream& stream) override;
  bool unprocessed(const MessageStream& stream) const override;
  void end(Reason why) override;

 private:
  void on_room() override {}
  void on_over() override;
  io::Task<void> read_to_the_end();
  io::Task<void> linger();
  bool lingers_on(io::TimePoint begun) const;

  io::Signal read_over_;
};

}  // namespace weir::http

#pragma once
// The client's side of an HTTP/1.1 connection: one exchange at a time, and fit for the next only when both messages have
// ended in order and nothing was left over (http.md: bytes behind a response are nobody's).
// Thread: one worker. Lifetime: its pool's.
#include "nodeproxy/http/connection.h"
#include "nodeproxy/http/h1_stream.h"
#include "nodeproxy/http/h1_writer.h"

namespace weir::http {

class H1Client final : public ClientConnection, public MessageStream {
 public:
  H1Client(io::Driver& driver, std::unique_ptr<io::ByteStream> bytes, ClientConnectionEvents& events);

  void start() override { spawn(stream_.ahead().run()); }
  bool can_begin() const override;
  MessageStream& begin() override;
  void give_back(MessageStream& stream) override;
  bool unprocessed(const MessageStream&) const override { return !answered_ && carrier_->unprocessed(); }
  void end(Reason why) override;

  io::Task<Status> accepted(io::TimePoint deadline) override { return carrier_->accepted(deadline); }
  io::Task<Result<Piece>> read(io::TimePoint deadline) override;
  io::Task<Status> write(Piece piece, io::TimePoint deadline) override;
  void reset(const Error& why) override;
  void watch(Aborted*) override {}  // the exchange is reading

 private:
  Status begin_request(const Piece& piece);
  Status cross_answer(Head& head) const;
  bool clean() const;
  io::Task<void> linger();

  H1Stream stream_;
  H1Writer writer_;
  std::optional<Reason> reset_;
  // Of an extended CONNECT: what its 101 must accept it with; empty: no WebSocket. None: another request.
  std::optional<std::string> crossing_;
  bool request_whole_ = true, response_whole_ = true;
  bool answered_ = false;  // a byte of a response has come
};

}  // namespace weir::http

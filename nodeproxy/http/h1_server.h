#pragma once
// The server's side of an HTTP/1.1 connection: requests one after the other, pipelined ones in order, each an exchange
// on this stream.
// Thread: one worker. Lifetime: a local of the corridor, which runs ahead().run() beside it.
#include "nodeproxy/http/h1_stream.h"
#include "nodeproxy/http/h1_writer.h"
#include "nodeproxy/http/message_stream.h"

namespace weir::http {

class H1Server final : public MessageStream {
 public:
  H1Server(io::Driver& driver, io::ByteStream& bytes);

  ReadAhead& ahead() { return stream_.ahead(); }
  // The first piece of the next request, with its head. Without a deadline until its first byte has come, then
  // limits::http_header_timeout. Errors: client_closed between requests; header_timeout; the decoder's, to be answered
  // with error_status().
  io::Task<Result<Piece>> next();
  // After an exchange: passes over what is left of its request, up to a cap. Whether another request may follow.
  io::Task<bool> settle();
  // Ends the connection so that what was written arrives: FIN, then ReadAhead::linger().
  io::Task<void> linger();
  // The next response says `Connection: close`. A connection between two requests is kept for that: closing it now could
  // meet a request on its way.
  void drain() { draining_ = true; }

  io::Task<Result<Piece>> read(io::TimePoint deadline) override;
  io::Task<Status> write(Piece piece, io::TimePoint deadline) override;
  void reset(const Error& why) override;
  void watch(Aborted* watcher) override { watcher_ = watcher; }

  // What is not a request is answered once, and the connection ends.
  void close_after_answer() {
    close_after_ = true;
    request_whole_ = true;
  }
  uint16_t error_status() const { return stream_.decoder().status(); }
  bool in_order() const { return !reset_; }

 private:
  void on_end();

  io::Driver& driver_;
  io::ByteStream& bytes_;
  H1Stream stream_;
  H1Writer writer_;
  Aborted* watcher_ = nullptr;
  bool request_whole_ = true;  // nothing of the request is left to read
  bool response_whole_ = true;
  bool close_after_ = false;
  bool draining_ = false;
  bool reset_ = false;
  bool finished_ = false;  // our FIN went with the last bytes
  Version peer_ = Version::http_1_1;
  bool to_head_ = false, to_connect_ = false;  // the request under way
};

}  // namespace weir::http

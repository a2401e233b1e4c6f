#pragma once
// One HTTP/2 stream as a MessageStream, either side: what came waits here, bounded by the stream's window, until it is
// read, and is credited to the peer when the next read says that it has been passed on.
// Thread: one worker. Lifetime: its wire's; given back to the connection when it goes.
#include "nodeproxy/base/short_queue.h"
#include "nodeproxy/http/h2_connection.h"
#include "nodeproxy/http/message_stream.h"
#include "nodeproxy/io/frame_pool.h"
#include "nodeproxy/io/signal.h"

namespace weir::http {

class H2Wire;

class H2Message final : public MessageStream {
 public:
  // `stream` 0: a client's, opened with the first head it writes.
  H2Message(H2Wire& wire, uint32_t stream) : wire_(wire), stream_(stream) {}
  ~H2Message() override;
  // As a frame's: one comes and goes with each request.
  static void* operator new(size_t size) { return io::frame_allocate(size); }
  static void operator delete(void* memory, size_t size) { io::frame_release(memory, size); }

  io::Task<Status> accepted(io::TimePoint deadline) override;
  io::Task<Result<Piece>> read(io::TimePoint deadline) override;
  io::Task<Status> write(Piece piece, io::TimePoint deadline) override;
  void reset(const Error& why) override;
  void watch(Aborted* watcher) override;

  uint32_t stream() const { return stream_; }
  // Failed before the peer did anything with the request.
  bool unprocessed() const { return unprocessed_ || stream_ == 0; }

  // The wire's events.
  void on_head(Head&& head, bool end);
  void on_data(std::span<const std::byte> bytes);
  void on_trailers(Headers&& trailers);
  void on_end();
  void on_reset(const Error& why, bool unprocessed);
  void on_drained() { drained_.notify(); }
  // What is there already, without waiting: a server's first piece.
  Piece take();

 private:
  // Of a head from HTTP/1.1 that asks for WebSocket: whether it may cross, and what its answer will accept.
  Status cross(const Piece& piece);
  io::Task<Status> settings(io::TimePoint deadline);
  void cross_answer(Head& head) const;
  bool something() const { return !heads_.empty() || !body_.empty() || (end_ && !end_given_) || error_; }
  void credit();

  H2Wire& wire_;
  uint32_t stream_;
  Aborted* watcher_ = nullptr;
  io::Signal arrived_, drained_;
  ShortQueue<Head> heads_;
  Head head_;  // the one that was handed out last
  ShortQueue<io::Buffer> body_;
  std::unique_ptr<Headers> trailers_;
  std::string accept_;  // of a WebSocket that HTTP/1.1 asked for; empty: another request
  size_t uncredited_bytes_ = 0;
  std::optional<Error> error_;
  bool end_ = false, end_given_ = false;
  bool busy_ = false;
  bool asks_for_tunnel_ = false, tunnel_ = false;  // tunnel_: and it was agreed to
  bool lost_ = false;                              // by the peer's doing, or the connection's
  bool unprocessed_ = false;
  bool upload_stopped_ = false;  // the answer is whole, the peer wants no more of the request
};

}  // namespace weir::http

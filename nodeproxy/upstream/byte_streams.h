#pragma once
// What carries HTTP as io::ByteStream: a TCP socket, or a session of a lane.
// Thread: one worker. Lifetime: owned by the connection that speaks over it; the socket's kernel operations have ended
// before it goes (its reads and writes were joined).
#include <vector>

#include "nodeproxy/io/byte_stream.h"
#include "nodeproxy/io/signal.h"
#include "nodeproxy/io/socket.h"
#include "nodeproxy/mesh/session_stream.h"

namespace weir::upstream {

class SocketBytes final : public io::ByteStream {
 public:
  explicit SocketBytes(io::Socket socket) : socket_(std::move(socket)) {}

  io::Task<Result<io::Buffer>> read() override;
  io::Task<Status> write(io::Buffer buffer, io::TimePoint deadline) override;
  void finish() override;
  io::Task<Status> write_last(io::Buffer buffer, io::TimePoint deadline) override;
  void abandon(Reason) override { in_order_ = false; }  // the reset is what closing the descriptor does
  void close() override { in_order_ = true; }
  bool undelivered() const override { return socket_.undelivered(); }
  // Closes the descriptor: FIN if the stream was closed in order, else a reset. After every wait has ended.
  ~SocketBytes() override;

 private:
  io::Task<Status> send(io::Buffer buffer, io::TimePoint deadline, bool more);

  io::Socket socket_;
  bool busy_ = false;      // reads come back full: large buffers
  bool finished_ = false;  // our FIN has been asked for
  bool in_order_ = false;
};

class SessionBytes final : public io::ByteStream {
 public:
  // The stream is opened or attached by whoever made this.
  mesh::SessionStream session;

  io::Task<Result<io::Buffer>> read() override;
  io::Task<Status> write(io::Buffer buffer, io::TimePoint deadline) override;
  void finish() override { session.finish(); }
  void abandon(Reason reason) override { session.abandon(reason); }
  void close() override {}  // giving the session back sends what is queued
  bool undelivered() const override { return !session.failed(); }
  bool unprocessed() const override;
  bool leaving() const override { return session.leaving(); }
  io::Task<Status> accepted(io::TimePoint deadline) override;

 private:
  bool written_ = false;
  // Many HTTP/2 requests may wait to be accepted: one asks the session, the others wait for that one.
  bool asking_ = false;
  std::vector<io::Signal*> others_;
};

}  // namespace weir::upstream

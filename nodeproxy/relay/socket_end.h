#pragma once
// A TCP socket as one end of a relay: small buffers while little moves, large ones while reads come back full; bytes
// that detection took are put back in front.
// Thread: one worker. Lifetime: the flow's.
#include "nodeproxy/base/limits.h"
#include "nodeproxy/io/socket.h"

namespace weir::relay {

class SocketEnd {
 public:
  explicit SocketEnd(io::Socket& socket) : socket_(socket) {}

  // What was read before the relay began; handed out first.
  void put_back(io::Buffer buffer) { put_back_ = std::move(buffer); }

  class Read {
   public:
    explicit Read(SocketEnd& end)
        : end_(end),
          size_(end.busy_ ? io::ReceiveSize::large : io::ReceiveSize::small),
          receive_(end.socket_, size_, io::kNever) {}
    bool await_ready() const { return !end_.put_back_.empty(); }
    template <typename Promise>
    bool await_suspend(std::coroutine_handle<Promise> waiting) {
      started_ = true;
      return receive_.await_suspend(waiting);
    }
    Result<io::Buffer> await_resume() {
      if (!started_) return std::exchange(end_.put_back_, io::Buffer());
      Result<io::Buffer> buffer = receive_.await_resume();
      // An error is told once: if our send was told of a reset, this looks like a FIN, and must not pass for one.
      if (buffer && buffer->empty() && !end_.finished_ && end_.socket_.broken()) {
        return fail(Source::kernel, Reason::io, ECONNRESET);
      }
      // Full small reads call for large buffers; a large read that a small buffer would have held, for small ones.
      if (buffer) end_.busy_ = buffer->size() >= limits::receive_buffer_small_bytes;
      return buffer;
    }

   private:
    SocketEnd& end_;
    io::ReceiveSize size_;
    io::Socket::Receive receive_;
    bool started_ = false;
  };

  class Write {
   public:
    Write(SocketEnd& end, io::Buffer buffer, bool last)
        : buffer_(std::move(buffer)), send_(end.socket_, buffer_.bytes(), io::kNever, last) {}
    bool await_ready() const { return buffer_.empty(); }
    template <typename Promise>
    bool await_suspend(std::coroutine_handle<Promise> waiting) {
      return send_.await_suspend(waiting);
    }
    Status await_resume() { return send_.await_resume(); }

   private:
    io::Buffer buffer_;
    io::Socket::Send send_;
  };

  bool at_fin() const { return false; }  // only the next read can tell
  void finish() {
    finished_ = true;
    socket_.shutdown_write();
  }

 private:
  io::Socket& socket_;
  io::Buffer put_back_;
  bool busy_ = false;
  bool finished_ = false;  // our FIN has been asked for
};

}  // namespace weir::relay

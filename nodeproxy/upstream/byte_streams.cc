// Sockets and sessions behind one face. See byte_streams.h.
#include "nodeproxy/upstream/byte_streams.h"

#include "nodeproxy/base/limits.h"

namespace weir::upstream {

io::Task<Result<io::Buffer>> SocketBytes::read() {
  const auto size = busy_ ? io::ReceiveSize::large : io::ReceiveSize::small;
  Result<io::Buffer> buffer = co_await socket_.receive(size);
  // An error is told once: if our send was told of a reset, this looks like a FIN, and must not pass for one.
  if (buffer && buffer->empty() && !finished_ && socket_.broken())
    co_return fail(Source::kernel, Reason::io, ECONNRESET);
  if (buffer) busy_ = buffer->size() >= limits::receive_buffer_small_bytes;
  co_return buffer;
}

io::Task<Status> SocketBytes::write(io::Buffer buffer, io::TimePoint deadline) {
  return send(std::move(buffer), deadline, false);
}

io::Task<Status> SocketBytes::write_last(io::Buffer buffer, io::TimePoint deadline) {
  const Status sent = co_await send(std::move(buffer), deadline, true);
  if (sent) finish();
  co_return sent;
}

io::Task<Status> SocketBytes::send(io::Buffer buffer, io::TimePoint deadline, bool more) {
  if (buffer.empty()) co_return Status();
  const Status sent = co_await socket_.send(buffer.bytes(), deadline, more);
  // The awaiter's name for its deadline, and the kernel's for a peer that acknowledges nothing.
  if (!sent && sent.error().reason == Reason::connect_timeout && deadline != io::kNever)
    co_return fail(Source::kernel, Reason::detect_timeout, ETIMEDOUT);
  co_return sent;
}

void SocketBytes::finish() {
  finished_ = true;
  socket_.shutdown_write();
}

SocketBytes::~SocketBytes() {
  if (socket_ && in_order_) socket_.set_reset_on_close(false);
}

io::Task<Result<io::Buffer>> SessionBytes::read() { co_return co_await session.read(); }

bool SessionBytes::unprocessed() const {
  if (!session.failed()) return false;
  return !written_ || session.untouched() || session.failed()->reason == Reason::not_reached;
}

io::Task<Status> SessionBytes::accepted(io::TimePoint deadline) {
  while (!session.opened() && !session.failed()) {
    Status status;
    if (asking_) {
      io::Signal answered;
      others_.push_back(&answered);
      status = co_await answered.wait(deadline);
      std::erase(others_, &answered);
    } else {
      asking_ = true;
      status = co_await session.opened_signal().wait(deadline);
      asking_ = false;
      for (io::Signal* other : others_) other->notify();  // if it has only given up, one of them asks
    }
    if (!status) co_return status;
  }
  if (session.failed()) co_return std::unexpected(*session.failed());
  co_return Status();
}

io::Task<Status> SessionBytes::write(io::Buffer buffer, io::TimePoint deadline) {
  if (buffer.empty()) co_return Status();
  written_ = true;
  co_return co_await session.write(std::move(buffer), deadline);
}

}  // namespace weir::upstream

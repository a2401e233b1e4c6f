// Completion side of the awaiters in socket.h.
#include "nodeproxy/io/socket.h"

#include "nodeproxy/base/limits.h"

namespace weir::io {

void IoWait::complete(int32_t result, Buffer buffer, bool) {
  result_ = result;
  buffer_ = std::move(buffer);
  if (!advance(result)) return;
  driver_.timers().disarm(*this);
  leave();
  waiting_.resume();
}

void IoWait::on_cancel() {
  cancelled_ = true;
  driver_.cancel(*this);
}

void IoWait::fire() {
  timed_out_ = true;
  driver_.cancel(*this);
}

Status IoWait::status() const {
  if (result_ >= 0) return {};
  if (ended_by_deadline()) return fail(Source::kernel, Reason::connect_timeout, ETIMEDOUT);
  return fail(Source::kernel, reason_of_errno(-result_), -result_);
}

Result<Buffer> Socket::Receive::await_resume() {
  if (result_ < 0) {
    if (ended_by_deadline()) return fail(Source::kernel, Reason::detect_timeout, ETIMEDOUT);
    return fail(Source::kernel, reason_of_errno(-result_), -result_);
  }
  const size_t whole =
      size_ == ReceiveSize::small ? limits::receive_buffer_small_bytes : limits::receive_buffer_large_bytes;
  socket_.drained_ = static_cast<size_t>(result_) < whole;
  return std::move(buffer_);
}

bool Socket::Send::advance(int32_t result) {
  if (result <= 0) return true;
  bytes_ = bytes_.subspan(static_cast<size_t>(result));
  if (bytes_.empty()) return true;
  if (timed_out_ || cancelled_) {  // the request came while this part was completing: no next part
    result_ = -ECANCELED;
    return true;
  }
  start();
  return false;
}

}  // namespace weir::io

// The reader and its one-buffer hand-over. See read_ahead.h.
#include "nodeproxy/http/read_ahead.h"

namespace weir::http {

io::Task<void> ReadAhead::run() {
  while (!fin_ && !error_) {
    while (!waiting_.empty()) {
      const Status status = co_await taken_.wait();
      if (status) continue;
      error_ = status.error();  // nobody reads on: whoever takes next must not wait for it
      arrived_.notify();
      co_return;
    }
    Result<io::Buffer> buffer = co_await stream_.read();
    if (!buffer) {
      error_ = buffer.error();
    } else if (buffer->empty()) {
      fin_ = true;
    } else {
      waiting_ = std::move(*buffer);
    }
    arrived_.notify();
    if (end_call_ && (fin_ || error_)) end_call_(end_argument_);
  }
}

io::Task<Result<io::Buffer>> ReadAhead::take(io::TimePoint deadline) {
  while (!ready()) {
    arrived_.clear();
    const Status status = co_await arrived_.wait(deadline);
    if (!status) co_return std::unexpected(status.error());
  }
  if (!waiting_.empty()) {
    io::Buffer buffer = std::move(waiting_);
    waiting_ = io::Buffer();
    taken_.notify();
    co_return buffer;
  }
  if (error_) co_return std::unexpected(*error_);
  co_return io::Buffer();
}

io::Task<void> ReadAhead::pass_over(io::TimePoint deadline, size_t bytes_max) {
  for (size_t passed = 0; passed < bytes_max;) {
    const auto buffer = co_await take(deadline);
    if (!buffer || buffer->empty()) co_return;
    passed += buffer->size();
  }
}

}  // namespace weir::http

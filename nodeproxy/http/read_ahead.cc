// The reader and its one-buffer hand-over. See read_ahead.h.
#include "nodeproxy/http/read_ahead.h"

#include "nodeproxy/base/limits.h"
#include "nodeproxy/io/driver.h"

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

io::Task<void> ReadAhead::linger(io::Driver& driver) {
  const io::TimePoint begun = driver.now();
  for (size_t passed = 0; passed < limits::http_linger_max_bytes;) {
    const auto buffer = co_await take(driver.now() + limits::http_linger);
    if (buffer ? buffer->empty() : buffer.error().reason != Reason::detect_timeout) co_return;
    if (buffer) passed += buffer->size();
    const auto lasted = driver.now() - begun;
    if (stream_.undelivered()) {
      if (lasted >= limits::half_closed_timeout) co_return;
    } else if (!buffer || lasted >= limits::http_linger_max) {
      co_return;
    }
  }
}

}  // namespace weir::http

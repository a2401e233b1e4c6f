#pragma once
// Bytes waiting to be sent, in the buffers they came in. With one buffer, the usual case, nothing is allocated; empty, it
// holds no memory.
// Thread: one worker. Lifetime: part of a session of a lane, or of an HTTP/2 stream.
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "nodeproxy/io/buffer.h"

namespace weir::io {

class BufferQueue {
 public:
  void push(Buffer buffer);
  std::span<const std::byte> front() const { return first_.bytes(); }  // the oldest; empty when nothing waits
  // Takes `n` ≤ front().size() bytes off: gives the buffer in which they lie, if they were the last of it.
  std::optional<Buffer> consume(size_t n);
  void take(size_t bytes, std::byte* into);  // off the front, by copying; not more than size()
  size_t size() const { return bytes_; }
  void clear() { *this = BufferQueue(); }

 private:
  Buffer first_;
  std::vector<Buffer> rest_;  // from rest_begin_ on
  uint32_t rest_begin_ = 0;
  uint32_t bytes_ = 0;
};

}  // namespace weir::io

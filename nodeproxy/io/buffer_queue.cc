// See buffer_queue.h.
#include "nodeproxy/io/buffer_queue.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace weir::io {
namespace {

constexpr uint32_t kRestGap = 32;  // so many that were taken are moved away together

}  // namespace

void BufferQueue::push(Buffer buffer) {
  bytes_ += static_cast<uint32_t>(buffer.size());
  if (first_.empty()) {
    first_ = std::move(buffer);
  } else {
    rest_.push_back(std::move(buffer));
  }
}

std::optional<Buffer> BufferQueue::consume(size_t n) {
  bytes_ -= static_cast<uint32_t>(n);
  first_.consume(n);
  if (!first_.empty()) return std::nullopt;
  Buffer used = std::exchange(first_, {});
  if (rest_begin_ == rest_.size()) return used;
  first_ = std::move(rest_[rest_begin_++]);
  if (rest_begin_ < rest_.size() && rest_begin_ < kRestGap) return used;
  rest_.erase(rest_.begin(), rest_.begin() + rest_begin_);
  rest_begin_ = 0;
  if (rest_.empty()) rest_.shrink_to_fit();
  return used;
}

void BufferQueue::take(size_t bytes, std::byte* into) {
  while (bytes > 0) {
    const size_t n = std::min(bytes, front().size());
    std::memcpy(into, front().data(), n);
    into += n;
    bytes -= n;
    consume(n);
  }
}

}  // namespace weir::io

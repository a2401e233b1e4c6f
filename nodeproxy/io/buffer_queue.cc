// See buffer_queue.h.
#include "nodeproxy/io/buffer_queue.h"

#include <algorithm>
#include <cstring>

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

void BufferQueue::take(size_t bytes, std::byte* into) {
  bytes_ -= static_cast<uint32_t>(bytes);
  while (bytes > 0) {
    const size_t n = std::min(bytes, first_.size());
    std::memcpy(into, first_.bytes().data(), n);
    first_.consume(n);
    into += n;
    bytes -= n;
    if (!first_.empty()) return;
    first_ = {};
    if (rest_begin_ == rest_.size()) continue;
    first_ = std::move(rest_[rest_begin_++]);
    if (rest_begin_ < rest_.size() && rest_begin_ < kRestGap) continue;
    rest_.erase(rest_.begin(), rest_.begin() + rest_begin_);
    rest_begin_ = 0;
    if (rest_.empty()) rest_.shrink_to_fit();
  }
}

}  // namespace weir::io

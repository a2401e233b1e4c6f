// See output.h.
#include "nodeproxy/tls/output.h"

#include <algorithm>
#include <cstring>

namespace weir::tls {

std::span<uint8_t> Output::reserve(size_t n, size_t following) {
  if (head_ == pieces_.size() || pieces_.back().capacity - pieces_.back().end < n) {
    const size_t capacity = std::max(n, following);
    pieces_.push_back({std::make_unique_for_overwrite<uint8_t[]>(capacity), capacity, 0, 0});
  }
  Piece& last = pieces_.back();
  return {last.memory.get() + last.end, n};
}

void Output::commit(size_t n) {
  pieces_.back().end += n;
  bytes_ += n;
}

void Output::append(std::span<const uint8_t> bytes) {
  std::memcpy(reserve(bytes.size(), bytes.size()).data(), bytes.data(), bytes.size());
  commit(bytes.size());
}

std::span<const std::byte> Output::front() const {
  if (bytes_ == 0) return {};
  const Piece& piece = pieces_[head_];
  return std::as_bytes(std::span<const uint8_t>(piece.memory.get() + piece.begin, piece.end - piece.begin));
}

void Output::consume(size_t n) {
  if (n == 0) return;
  Piece& piece = pieces_[head_];
  piece.begin += n;
  bytes_ -= n;
  if (piece.begin < piece.end) return;
  piece = {};
  ++head_;
  if (head_ < pieces_.size() && head_ < 16)
    return;  // the used-up front is cut off now and then, not each time
  pieces_.erase(pieces_.begin(), pieces_.begin() + static_cast<ptrdiff_t>(head_));
  head_ = 0;
}

}  // namespace weir::tls

// A small state machine over a line. See h1_chunks.h.
#include "nodeproxy/http/h1_chunks.h"

#include <algorithm>

#include "nodeproxy/base/limits.h"

namespace weir::http::h1 {
namespace {

constexpr uint32_t kDigitsMax = 16;  // leading zeros included

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

ChunkScan::Step ChunkScan::refuse(const char* rule) {
  if (!refusal_) refusal_ = {rule};
  return Step::refused;
}

ChunkScan::Step ChunkScan::size_line(std::string_view& text, std::string_view& digits) {
  if (refusal_) return Step::refused;
  digits = {};
  if (at_ == At::size) {
    if (digits_ == 0) size_ = 0;
    size_t n = 0;
    for (; n < text.size() && hex_value(text[n]) >= 0; ++n) {
      if (++digits_ > kDigitsMax) return refuse("a chunk size of too many digits");
      size_ = size_ << 4 | static_cast<uint64_t>(hex_value(text[n]));
    }
    digits = text.substr(0, n);
    text.remove_prefix(n);
    if (text.empty()) return Step::need_more;
    if (digits_ == 0) return refuse("a chunk without a size in hex");
    if (size_ >> 63 != 0) return refuse("a chunk size of 2^63 or more");
    if (text.front() != '\r' && text.front() != ';') return refuse("a chunk size that is not bare hex");
    at_ = At::extension;
  }
  return at_ == At::extension ? take_extension(text) : end_line(text);
}

// What stands before the CR, which is nothing in most lines.
ChunkScan::Step ChunkScan::take_extension(std::string_view& text) {
  const size_t found = find_control(text);
  const size_t n = std::min(found, text.size());
  const size_t room = limits::http_chunk_extensions_max_bytes - extension_bytes_;
  if (n > room) return refuse("chunk extensions longer than their limit");
  extension_bytes_ += static_cast<uint32_t>(n);
  text.remove_prefix(n);
  if (found == std::string_view::npos) return Step::need_more;
  if (text.front() != '\r') return refuse("a control character in a chunk's line");
  text.remove_prefix(1);
  at_ = At::line_feed;
  return end_line(text);
}

ChunkScan::Step ChunkScan::end_line(std::string_view& text) {
  if (text.empty()) return Step::need_more;
  if (text.front() != '\n') return refuse("CR without LF in a chunk's line");
  text.remove_prefix(1);
  // A long line for a byte of data costs us much and its sender little.
  overhead_bytes_ += digits_ + extension_bytes_;
  const uint64_t excused = size_ > UINT64_MAX / 4 ? size_ : 16 + 2 * size_;
  overhead_bytes_ -= std::min(overhead_bytes_, excused);
  if (overhead_bytes_ > limits::http_chunk_overhead_max_bytes)
    return refuse("chunk lines that outweigh their data");
  at_ = At::size;
  digits_ = extension_bytes_ = 0;
  return Step::whole;
}

ChunkScan::Step ChunkScan::data_end(std::string_view& text) {
  if (refusal_) return Step::refused;
  while (!text.empty()) {
    if (text.front() != (cr_ ? '\n' : '\r'))
      return refuse("a chunk longer than its size, or without its CRLF");
    text.remove_prefix(1);
    cr_ = !cr_;
    if (!cr_) return Step::whole;
  }
  return Step::need_more;
}

}  // namespace weir::http::h1

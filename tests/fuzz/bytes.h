#pragma once
// A fuzzer's input as a source of choices.
//
// Concept: each call takes the next byte; an input that has run out gives zeros, so every prefix of an input is one too.
// Owner, thread, lifetime: one call of a fuzz target.
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <string>
#include <string_view>

namespace weir::fuzz {

class Bytes {
 public:
  Bytes(const uint8_t* data, size_t size) : rest_(reinterpret_cast<const char*>(data), size) {}

  uint8_t byte() {
    if (rest_.empty()) return 0;
    const auto first = static_cast<uint8_t>(rest_.front());
    rest_.remove_prefix(1);
    return first;
  }
  size_t below(size_t limit) { return byte() % limit; }
  bool coin() { return (byte() & 1) != 0; }
  template <size_t kCount>
  std::string_view one_of(const std::string_view (&words)[kCount]) {
    return words[below(kCount)];
  }
  // Text of the input itself, up to the next zero.
  std::string_view text() {
    const size_t end = rest_.find('\0');
    const std::string_view taken = rest_.substr(0, end);
    rest_.remove_prefix(end == std::string_view::npos ? rest_.size() : end + 1);
    return taken;
  }
  std::string_view rest() const { return rest_; }
  bool empty() const { return rest_.empty(); }

 private:
  std::string_view rest_;
};

}  // namespace weir::fuzz

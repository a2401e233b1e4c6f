#pragma once
// Bytes waiting to be sent, in pieces that never move: a kernel send may be reading the front one while records are
// appended behind. Memory exists only while there are bytes.
// Owner: a tls::Session. Thread: its worker.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace weir::tls {

class Output {
 public:
  // Contiguous room for `n` bytes at the end, until the next call. `following` is how many bytes in all are about to
  // be reserved: when a new piece is needed, it holds them all.
  std::span<uint8_t> reserve(size_t n, size_t following);
  void commit(size_t n);  // of what was reserved
  void append(std::span<const uint8_t> bytes);

  std::span<const std::byte> front() const;
  void consume(size_t n);  // at most front().size()
  size_t bytes() const { return bytes_; }

 private:
  struct Piece {
    std::unique_ptr<uint8_t[]> memory;
    size_t capacity = 0, begin = 0, end = 0;
  };
  std::vector<Piece> pieces_;  // from head_ on
  size_t head_ = 0;
  size_t bytes_ = 0;
};

}  // namespace weir::tls

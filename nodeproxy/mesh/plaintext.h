#pragma once
// One flush of a lane on its way into records: its frames in order, small ones copied together, large payloads where they
// lie in the buffers that a session was given. Those are kept until the flush has been sealed (measured: copying them
// first is a quarter of what sealing a full record costs).
// Owner: whoever flushes; one serves all lanes of a thread, and keeps the memory of its own vectors.
#include <cstddef>
#include <span>
#include <vector>

#include "nodeproxy/io/buffer.h"

namespace weir::mesh {

class Plaintext {
 public:
  using Bytes = std::span<const std::byte>;
  // From this size on a payload is not copied.
  static constexpr size_t kLargeBytes = 4 * 1024;

  // Empty, for at most `memory.size()` bytes in all; what is copied goes there.
  void begin(std::span<std::byte> memory);
  // What may still be added.
  size_t room() const { return memory_.size() - bytes_; }
  // The next `n` ≤ room() bytes, for the caller to fill.
  std::span<std::byte> add(size_t n);
  // The same for bytes that stay where they are, until end().
  void refer(Bytes bytes);
  // Where some of them lie.
  void keep(io::Buffer buffer) { kept_.push_back(std::move(buffer)); }
  // The pieces are not needed any more.
  void end();

  std::span<const Bytes> pieces() const { return pieces_; }
  size_t bytes() const { return bytes_; }

 private:
  std::span<std::byte> memory_;
  size_t copied_ = 0, bytes_ = 0;
  std::vector<Bytes> pieces_;
  std::vector<io::Buffer> kept_;
};

}  // namespace weir::mesh

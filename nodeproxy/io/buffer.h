#pragma once
// A piece of memory with an owner to which it goes back: what a receive completed into, on loan until destroyed. The
// pool is the driver's (provided-buffer ring, or plain memory in the simulator), so an idle connection holds none.
// [begin, end) is the unread part; consumers advance begin.
// Thread: the worker whose driver lent it. Lifetime: no longer than that driver.
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

namespace weir::io {

class BufferPool {
 public:
  virtual ~BufferPool() = default;
  // Takes back what it lent; `token` is the pool's own.
  virtual void give_back(std::byte* memory, uint32_t token) = 0;
};

class Buffer {
 public:
  Buffer() = default;
  Buffer(BufferPool* pool, std::byte* memory, uint32_t token, size_t size)
      : Buffer(pool, memory, token, size, size) {}
  Buffer(BufferPool* pool, std::byte* memory, uint32_t token, size_t size, size_t capacity)
      : pool_(pool),
        memory_(memory),
        token_(token),
        end_(static_cast<uint32_t>(size)),
        capacity_(static_cast<uint32_t>(capacity)) {}
  Buffer(Buffer&& other) noexcept { swap(other); }
  Buffer& operator=(Buffer&& other) noexcept {
    Buffer(std::move(other)).swap(*this);
    return *this;
  }
  ~Buffer() {
    if (pool_) pool_->give_back(memory_, token_);
  }

  std::span<const std::byte> bytes() const { return {memory_ + begin_, end_ - begin_}; }
  std::span<std::byte> writable() { return {memory_ + begin_, end_ - begin_}; }
  size_t size() const { return end_ - begin_; }
  bool empty() const { return begin_ == end_; }
  void consume(size_t n) { begin_ += static_cast<uint32_t>(n); }
  // Keeps the first `n` bytes of what is there.
  void truncate(size_t n) { end_ = begin_ + static_cast<uint32_t>(n); }
  // Copies what fits behind the end; how much that was.
  size_t append(std::span<const std::byte> more);

 private:
  void swap(Buffer& other) noexcept {
    std::swap(pool_, other.pool_);
    std::swap(memory_, other.memory_);
    std::swap(token_, other.token_);
    std::swap(begin_, other.begin_);
    std::swap(end_, other.end_);
    std::swap(capacity_, other.capacity_);
  }

  BufferPool* pool_ = nullptr;
  std::byte* memory_ = nullptr;
  uint32_t token_ = 0;
  uint32_t begin_ = 0;
  uint32_t end_ = 0;
  uint32_t capacity_ = 0;
};

// A heap-backed buffer for bytes that did not come from a receive (put-back prefixes, decrypted data, tests).
Buffer copy_to_buffer(std::span<const std::byte> bytes);
Buffer joined(std::span<const std::byte> first, std::span<const std::byte> second);
// An empty one with room to append.
Buffer make_room(size_t capacity);
// Uninitialised heap memory of `size` bytes; the caller fills all of it.
Buffer make_buffer(size_t size);

}  // namespace weir::io

#pragma once
// The memory of receive buffers of one size: reserved at once and committed page by page as it is first used. Free
// buffers are a stack, the last given back is the next taken, so that a quiet proxy needs only the few hot ones; the
// pages of the others go back to the kernel after a while (cool()), so that a burst is not held for ever.
// Under AddressSanitizer whatever is not lent is poisoned.
// Thread: one worker. Lifetime: the driver's; no Buffer may outlive it.
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "nodeproxy/io/buffer.h"
#include "nodeproxy/io/timers.h"

namespace weir::io {

class BufferSlab final : public BufferPool {
 public:
  BufferSlab() = default;
  ~BufferSlab() override;
  BufferSlab(const BufferSlab&) = delete;
  BufferSlab& operator=(const BufferSlab&) = delete;

  // `count` buffers, rounded up to a power of two, 32,768 at most. Returns 0 or −errno.
  int open(uint32_t count, uint32_t size_bytes);

  bool empty() const { return free_.empty(); }
  size_t available() const { return free_.size(); }
  uint16_t take();  // not when empty
  void put_back(uint16_t id) { give_back(memory_of(id), id); }
  std::byte* memory_of(uint16_t id) const { return memory_ + static_cast<size_t>(id) * size_bytes_; }
  // All of a taken buffer, to be filled by this process; by the kernel alone needs no asking.
  std::span<std::byte> space(uint16_t id);
  // A taken buffer, `size` bytes of it filled. It comes back here.
  Buffer lend(uint16_t id, size_t size);
  // To be called every turn. Gives back the pages of the buffers that nobody needed in the last limits::buffers_cool, some
  // at a time, so that no turn is long. True when that time is over and all are given back: the next begins.
  bool cool(TimePoint now);
  uint32_t count() const { return count_; }
  uint32_t size_bytes() const { return size_bytes_; }

 private:
  void give_back(std::byte* memory, uint32_t token) override;

  std::byte* memory_ = nullptr;
  uint32_t count_ = 0;
  uint32_t size_bytes_ = 0;
  std::vector<uint16_t> free_;  // a stack
  // Of the stack, from its bottom: without pages; and not touched in this period of cool().
  size_t pageless_ = 0, untouched_ = 0;
  TimePoint cool_at_ = {};
};

// Zeroed pages that are committed as they are used; null when there is no room.
void* reserve_pages(size_t bytes);

}  // namespace weir::io

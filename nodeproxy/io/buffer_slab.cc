// The slab of buffer_slab.h.
#include "nodeproxy/io/buffer_slab.h"

#include <sanitizer/asan_interface.h>
#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstdlib>

namespace weir::io {
namespace {

constexpr uint32_t kCountMax = 1u << 15;  // io_uring's own limit of a buffer ring

}  // namespace

void* reserve_pages(size_t bytes) {
  void* memory =
      ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return memory == MAP_FAILED ? nullptr : memory;
}

BufferSlab::~BufferSlab() {
  if (!memory_) return;
  ASAN_UNPOISON_MEMORY_REGION(memory_, static_cast<size_t>(count_) * size_bytes_);
  ::munmap(memory_, static_cast<size_t>(count_) * size_bytes_);
}

int BufferSlab::open(uint32_t count, uint32_t size_bytes) {
  count_ = std::bit_ceil(std::clamp(count, 1u, kCountMax));
  size_bytes_ = size_bytes;
  memory_ = static_cast<std::byte*>(reserve_pages(static_cast<size_t>(count_) * size_bytes));
  if (!memory_) return -ENOMEM;
  // Huge pages would commit 2 MiB for the first 4 KiB.
  ::madvise(memory_, static_cast<size_t>(count_) * size_bytes, MADV_NOHUGEPAGE);
  free_.reserve(count_);
  for (uint32_t id = count_; id-- > 0;) free_.push_back(static_cast<uint16_t>(id));
  ASAN_POISON_MEMORY_REGION(memory_, static_cast<size_t>(count_) * size_bytes);
  return 0;
}

uint16_t BufferSlab::take() {
  const uint16_t id = free_.back();
  free_.pop_back();
  return id;
}

std::span<std::byte> BufferSlab::space(uint16_t id) {
  ASAN_UNPOISON_MEMORY_REGION(memory_of(id), size_bytes_);
  return {memory_of(id), size_bytes_};
}

Buffer BufferSlab::lend(uint16_t id, size_t size) {
  if (id >= count_ || size > size_bytes_) std::abort();
  ASAN_POISON_MEMORY_REGION(memory_of(id), size_bytes_);
  ASAN_UNPOISON_MEMORY_REGION(memory_of(id), size);
  return Buffer(this, memory_of(id), id, size);
}

void BufferSlab::give_back(std::byte* memory, uint32_t token) {
  ASAN_POISON_MEMORY_REGION(memory, size_bytes_);
  free_.push_back(static_cast<uint16_t>(token));
}

}  // namespace weir::io

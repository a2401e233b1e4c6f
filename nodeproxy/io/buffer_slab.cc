// The slab of buffer_slab.h.
#include "nodeproxy/io/buffer_slab.h"

#include <sanitizer/asan_interface.h>
#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstdlib>

#include "nodeproxy/base/limits.h"

namespace weir::io {
namespace {

constexpr uint32_t kCountMax = 1u << 15;  // io_uring's own limit of a buffer ring
constexpr size_t kCooledAtOnce = 32;
constexpr auto kCoolAgain = std::chrono::milliseconds(20);
constexpr uintptr_t kPageBytes = 4096;  // where pages are larger, madvise(2) may refuse, and nothing is lost

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
  pageless_ = untouched_ = free_.size();
  ASAN_POISON_MEMORY_REGION(memory_, static_cast<size_t>(count_) * size_bytes);
  return 0;
}

uint16_t BufferSlab::take() {
  const uint16_t id = free_.back();
  free_.pop_back();
  pageless_ = std::min(pageless_, free_.size());
  untouched_ = std::min(untouched_, free_.size());
  return id;
}

bool BufferSlab::cool(TimePoint now) {
  if (now < cool_at_) return false;
  for (size_t left = kCooledAtOnce; pageless_ < untouched_ && left > 0; --left, ++pageless_) {
    // Only whole pages: at its ends a buffer may share one with its neighbours.
    std::byte* const memory = memory_of(free_[pageless_]);
    const size_t ahead = -reinterpret_cast<uintptr_t>(memory) & (kPageBytes - 1);
    const size_t whole = ahead < size_bytes_ ? (size_bytes_ - ahead) & ~(kPageBytes - 1) : 0;
    if (whole > 0) ::madvise(memory + ahead, whole, MADV_DONTNEED);
  }
  const bool done = pageless_ >= untouched_;
  cool_at_ = now + (done ? limits::buffers_cool : kCoolAgain);
  if (done) untouched_ = free_.size();
  return done;
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

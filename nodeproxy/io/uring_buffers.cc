// The provided-buffer ring of uring_buffers.h.
#include "nodeproxy/io/uring_buffers.h"

#include <sanitizer/asan_interface.h>
#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstdlib>
#include <utility>

namespace weir::io {
namespace {

constexpr uint32_t kCountMax = 1u << 15;  // io_uring's own limit of a buffer ring

void* reserve(size_t bytes) {
  void* memory =
      ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return memory == MAP_FAILED ? nullptr : memory;
}

}  // namespace

UringBuffers::~UringBuffers() {
  if (memory_) {
    ASAN_UNPOISON_MEMORY_REGION(memory_, static_cast<size_t>(count_) * size_bytes_);
    ::munmap(memory_, static_cast<size_t>(count_) * size_bytes_);
  }
  if (ring_) ::munmap(ring_, count_ * sizeof(io_uring_buf));
}

int UringBuffers::open(io_uring& ring, uint16_t group, uint32_t count, uint32_t size_bytes) {
  count_ = std::bit_ceil(std::clamp(count, 1u, kCountMax));
  size_bytes_ = size_bytes;
  ring_ = static_cast<io_uring_buf_ring*>(reserve(count_ * sizeof(io_uring_buf)));
  memory_ = static_cast<std::byte*>(reserve(static_cast<size_t>(count_) * size_bytes));
  if (!ring_ || !memory_) return -ENOMEM;
  // Huge pages would commit 2 MiB for the first 4 KiB.
  ::madvise(memory_, static_cast<size_t>(count_) * size_bytes, MADV_NOHUGEPAGE);
  io_uring_buf_reg registration{};
  registration.ring_addr = reinterpret_cast<uint64_t>(ring_);
  registration.ring_entries = count_;
  registration.bgid = group;
  if (const int result = io_uring_register_buf_ring(&ring, &registration, 0); result < 0) return result;
  io_uring_buf_ring_init(ring_);
  window_ = std::min(window_, count_);
  free_.reserve(count_);
  for (uint32_t id = count_; id-- > 0;) free_.push_back(static_cast<uint16_t>(id));
  ASAN_POISON_MEMORY_REGION(memory_, static_cast<size_t>(count_) * size_bytes);
  refill();
  return 0;
}

Buffer UringBuffers::lend(uint16_t id, size_t size) {
  if (id >= count_ || provided_ == 0) std::abort();  // the kernel returned what it was not given
  --provided_;
  std::byte* memory = memory_ + static_cast<size_t>(id) * size_bytes_;
  ASAN_UNPOISON_MEMORY_REGION(memory, size);
  return Buffer(this, memory, id, size);
}

void UringBuffers::give_back(std::byte* memory, uint32_t token) {
  ASAN_POISON_MEMORY_REGION(memory, size_bytes_);
  free_.push_back(static_cast<uint16_t>(token));
}

void UringBuffers::refill() {
  if (std::exchange(dry_, false)) window_ = std::min(window_ * 2, count_);
  int added = 0;
  while (provided_ < window_ && !free_.empty()) {
    const uint16_t id = free_.back();
    free_.pop_back();
    io_uring_buf_ring_add(ring_, memory_ + static_cast<size_t>(id) * size_bytes_, size_bytes_, id,
                          io_uring_buf_ring_mask(count_), added++);
    ++provided_;
  }
  if (added != 0) io_uring_buf_ring_advance(ring_, added);
}

}  // namespace weir::io

// The provided-buffer ring of uring_buffers.h.
#include "nodeproxy/io/uring_buffers.h"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <utility>

namespace weir::io {

UringBuffers::~UringBuffers() {
  if (ring_) ::munmap(ring_, slab_.count() * sizeof(io_uring_buf));
}

int UringBuffers::open(io_uring& ring, uint16_t group, uint32_t count, uint32_t size_bytes, uint32_t window) {
  if (const int result = slab_.open(count, size_bytes); result < 0) return result;
  ring_ = static_cast<io_uring_buf_ring*>(reserve_pages(slab_.count() * sizeof(io_uring_buf)));
  if (!ring_) return -ENOMEM;
  io_uring_buf_reg registration{};
  registration.ring_addr = reinterpret_cast<uint64_t>(ring_);
  registration.ring_entries = slab_.count();
  registration.bgid = group;
  if (const int result = io_uring_register_buf_ring(&ring, &registration, 0); result < 0) return result;
  io_uring_buf_ring_init(ring_);
  window_ = window_least_ = std::min(window, slab_.count());
  refill();
  return 0;
}

Buffer UringBuffers::lend(uint16_t id, size_t size) {
  if (provided_ == 0) std::abort();  // the kernel returned what it was not given
  --provided_;
  return slab_.lend(id, size);
}

// What the ring holds beyond a smaller window stays there until the kernel has used it.
void UringBuffers::cool(TimePoint now) {
  if (slab_.cool(now) && !std::exchange(was_dry_, false)) window_ = std::max(window_ / 2, window_least_);
}

void UringBuffers::refill() {
  if (std::exchange(dry_, false)) window_ = std::min(window_ * 2, slab_.count());
  int added = 0;
  while (provided_ < window_ && !slab_.empty()) {
    const uint16_t id = slab_.take();
    io_uring_buf_ring_add(ring_, slab_.memory_of(id), slab_.size_bytes(), id,
                          io_uring_buf_ring_mask(slab_.count()), added++);
    ++provided_;
  }
  if (added != 0) io_uring_buf_ring_advance(ring_, added);
}

}  // namespace weir::io

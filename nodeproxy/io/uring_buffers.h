#pragma once
// Receive buffers that the kernel picks from: one provided-buffer ring (io_uring_register_buf_ring(3)) over a slab. The
// kernel takes from the ring in order, so a ring that held every buffer would soon have touched them all: it is kept
// short (`window`, doubled whenever it ran dry, halved after a while in which it did not) and fed from the slab's hot end.
// Large ones begin with few: what one stream is read into then stays in the core's own cache (measured: 0.91 of the CPU
// per GB that sixteen of 128 KiB cost).
// Thread: one worker. Lifetime: the ring driver's; no Buffer may outlive it.
#include <liburing.h>

#include <cstddef>

#include "nodeproxy/io/buffer_slab.h"

namespace weir::io {

class UringBuffers final {
 public:
  UringBuffers() = default;
  ~UringBuffers();
  UringBuffers(const UringBuffers&) = delete;
  UringBuffers& operator=(const UringBuffers&) = delete;

  // As BufferSlab::open; `window` is the least. Returns 0 or −errno.
  int open(io_uring& ring, uint16_t group, uint32_t count, uint32_t size_bytes, uint32_t window);

  // The buffer of a completion (IORING_CQE_F_BUFFER), `size` bytes of it filled.
  Buffer lend(uint16_t id, size_t size);
  // Fills the ring up to its window; before every submission.
  void refill();
  // The kernel found the ring empty: from the next refill on, twice as many.
  void ran_dry() { dry_ = was_dry_ = true; }
  // As BufferSlab::cool, and the window shrinks again.
  void cool(TimePoint now);
  // What the kernel can take now.
  uint32_t provided() const { return provided_; }

 private:
  io_uring_buf_ring* ring_ = nullptr;  // shared with the kernel
  BufferSlab slab_;
  uint32_t window_ = 0, window_least_ = 0;
  uint32_t provided_ = 0;
  bool dry_ = false, was_dry_ = false;  // since the last refill; since the last cool()
};

}  // namespace weir::io

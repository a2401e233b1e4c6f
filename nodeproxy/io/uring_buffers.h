#pragma once
// Receive buffers that the kernel picks from: one provided-buffer ring (io_uring_register_buf_ring(3)) over memory
// that is reserved at once and committed page by page as it is first used. The kernel takes from the ring in order,
// so a ring that held every buffer would soon have touched them all: it is kept short (`window`, doubled whenever it
// ran dry) and fed from a stack, so that an idle proxy holds only the few hot ones.
// Thread: one worker. Lifetime: the ring driver's; no Buffer may outlive it.
#include <liburing.h>

#include <cstddef>
#include <vector>

#include "nodeproxy/io/buffer.h"

namespace weir::io {

class UringBuffers final : public BufferPool {
 public:
  UringBuffers() = default;
  ~UringBuffers() override;
  UringBuffers(const UringBuffers&) = delete;
  UringBuffers& operator=(const UringBuffers&) = delete;

  // `count` buffers, rounded up to a power of two, 32,768 at most. Returns 0 or −errno.
  int open(io_uring& ring, uint16_t group, uint32_t count, uint32_t size_bytes);

  // The buffer of a completion (IORING_CQE_F_BUFFER), `size` bytes of it filled.
  Buffer lend(uint16_t id, size_t size);
  // Fills the ring up to its window; before every submission.
  void refill();
  // The kernel found the ring empty: from the next refill on, twice as many.
  void ran_dry() { dry_ = true; }
  // What the kernel can take now.
  uint32_t provided() const { return provided_; }

 private:
  void give_back(std::byte* memory, uint32_t token) override;

  static constexpr uint32_t kWindowFirst = 16;
  io_uring_buf_ring* ring_ = nullptr;  // shared with the kernel
  std::byte* memory_ = nullptr;
  uint32_t count_ = 0;
  uint32_t size_bytes_ = 0;
  uint32_t window_ = kWindowFirst;
  uint32_t provided_ = 0;
  bool dry_ = false;
  std::vector<uint16_t> free_;  // a stack: the last given back is the next provided
};

}  // namespace weir::io

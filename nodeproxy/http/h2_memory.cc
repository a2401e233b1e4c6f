// See h2_memory.h.
#include "nodeproxy/http/h2_memory.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdlib>
#include <cstring>

#if defined(__SANITIZE_ADDRESS__)
#define WEIR_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WEIR_ASAN 1
#endif
#endif
#ifdef WEIR_ASAN
#include <sanitizer/asan_interface.h>
#endif

namespace weir::http::h2 {
namespace {

// nghttp2's NGHTTP2_FRAMEBUF_CHUNKLEN: the largest frame, its header, and the byte for padding. An nghttp2 that asks for
// another size gets memory of its own, and nothing is shared.
constexpr size_t kFrameBytes = 16'384 + 9 + 1;

}  // namespace

struct SessionMemory::Frame {
  alignas(std::max_align_t) std::array<std::byte, kFrameBytes> bytes;
  int uses = 0;

#ifdef WEIR_ASAN
  Frame() { ASAN_POISON_MEMORY_REGION(bytes.data(), bytes.size()); }
  ~Frame() { ASAN_UNPOISON_MEMORY_REGION(bytes.data(), bytes.size()); }
#endif
};

std::shared_ptr<SessionMemory::Frame> SessionMemory::frame_of_this_worker() {
  thread_local std::shared_ptr<Frame> frame = std::make_shared<Frame>();
  return frame;
}

SessionMemory::SessionMemory()
    : frame_(frame_of_this_worker()), functions_{this, allocate, release, allocate_zeroed, reallocate} {}

void* SessionMemory::allocate(size_t size, void*) { return std::malloc(size); }

void* SessionMemory::allocate_zeroed(size_t count, size_t size, void*) { return std::calloc(count, size); }

void SessionMemory::release(void* memory, void* self) {
  if (memory != static_cast<SessionMemory*>(self)->frame_->bytes.data()) std::free(memory);
}

void* SessionMemory::reallocate(void* memory, size_t size, void* self_pointer) {
  auto& self = *static_cast<SessionMemory*>(self_pointer);
  std::byte* const shared = self.frame_->bytes.data();
  if (!memory && size == kFrameBytes && self.making_ && !self.sharing_) {
    self.sharing_ = true;
    return shared;
  }
  if (!memory || memory != shared) return std::realloc(memory, size);
  void* own = std::malloc(size);  // it wants another size than it has: none of the others' any more
  const Use use(self);
  if (own) std::memcpy(own, shared, std::min(size, kFrameBytes));
  return own;
}

#ifdef WEIR_ASAN
SessionMemory::Use::Use(const SessionMemory& memory) : memory_(memory) {
  Frame& frame = *memory_.frame_;
  if (frame.uses++ > 0) return;
  ASAN_UNPOISON_MEMORY_REGION(frame.bytes.data(), frame.bytes.size());
  frame.bytes.fill(std::byte{0xee});
}

SessionMemory::Use::~Use() {
  Frame& frame = *memory_.frame_;
  if (--frame.uses == 0) ASAN_POISON_MEMORY_REGION(frame.bytes.data(), frame.bytes.size());
}
#else
SessionMemory::Use::Use(const SessionMemory& memory) : memory_(memory) {}
SessionMemory::Use::~Use() = default;
#endif

}  // namespace weir::http::h2

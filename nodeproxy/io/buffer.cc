// The heap pool behind copy_to_buffer and make_buffer. See buffer.h.
#include "nodeproxy/io/buffer.h"

#include <algorithm>
#include <cstring>

namespace weir::io {
namespace {

class HeapPool final : public BufferPool {
 public:
  void give_back(std::byte* memory, uint32_t) override { ::operator delete(memory); }
};

HeapPool heap_pool;  // stateless: any thread

}  // namespace

Buffer make_buffer(size_t size) {
  return Buffer(&heap_pool, static_cast<std::byte*>(::operator new(size)), 0, size);
}

Buffer make_room(size_t capacity) {
  return Buffer(&heap_pool, static_cast<std::byte*>(::operator new(capacity)), 0, 0, capacity);
}

size_t Buffer::append(std::span<const std::byte> more) {
  const size_t taken = std::min<size_t>(more.size(), capacity_ - end_);
  if (taken > 0) std::memcpy(memory_ + end_, more.data(), taken);
  end_ += static_cast<uint32_t>(taken);
  return taken;
}

Buffer copy_to_buffer(std::span<const std::byte> bytes) {
  Buffer buffer = make_buffer(bytes.size());
  if (!bytes.empty()) std::memcpy(buffer.writable().data(), bytes.data(), bytes.size());
  return buffer;
}

Buffer joined(std::span<const std::byte> first, std::span<const std::byte> second) {
  Buffer buffer = make_room(first.size() + second.size());
  buffer.append(first);
  buffer.append(second);
  return buffer;
}

}  // namespace weir::io

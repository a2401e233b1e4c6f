// The heap pool behind copy_to_buffer and make_buffer. See buffer.h.
#include "nodeproxy/io/buffer.h"

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

Buffer copy_to_buffer(std::span<const std::byte> bytes) {
  Buffer buffer = make_buffer(bytes.size());
  if (!bytes.empty()) std::memcpy(buffer.writable().data(), bytes.data(), bytes.size());
  return buffer;
}

}  // namespace weir::io

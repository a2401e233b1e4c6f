// The free lists of frame_pool.h: classes of 64 bytes up to 4 KiB, at most 256 frames kept in each.
#include "nodeproxy/io/frame_pool.h"

#include <array>
#include <cstdint>
#include <new>

namespace weir::io {
namespace {

constexpr size_t kGrain = 64;
constexpr size_t kClasses = 64;
constexpr uint32_t kKeep = 256;

struct FreeFrame {
  FreeFrame* next;
};

struct Lists {
  struct Class {
    FreeFrame* head = nullptr;
    uint32_t kept = 0;
  };
  std::array<Class, kClasses + 1> classes;
  size_t alive_bytes = 0;

  ~Lists() {
    for (Class& list : classes) {
      while (FreeFrame* frame = list.head) {
        list.head = frame->next;
        ::operator delete(frame);
      }
    }
  }
};

thread_local Lists lists;

size_t class_of(size_t size) { return (size + kGrain - 1) / kGrain; }

}  // namespace

void* frame_allocate(size_t size) {
  lists.alive_bytes += size;
  const size_t index = class_of(size);
  if (index > kClasses) return ::operator new(size);
  Lists::Class& list = lists.classes[index];
  if (FreeFrame* frame = list.head) {
    list.head = frame->next;
    --list.kept;
    return frame;
  }
  return ::operator new(index * kGrain);
}

void frame_release(void* memory, size_t size) {
  lists.alive_bytes -= size;
  const size_t index = class_of(size);
  if (index > kClasses || lists.classes[index].kept == kKeep) {
    ::operator delete(memory);
    return;
  }
  Lists::Class& list = lists.classes[index];
  auto* frame = static_cast<FreeFrame*>(memory);
  frame->next = list.head;
  list.head = frame;
  ++list.kept;
}

size_t frame_bytes_alive() { return lists.alive_bytes; }

}  // namespace weir::io

// The free lists of frame_pool.h: classes of 64 bytes up to 4 KiB, at most kKeep frames kept in each.
#include "nodeproxy/io/frame_pool.h"

#include <array>
#include <cstdint>
#include <new>

namespace weir::io {
namespace {

constexpr size_t kGrain = 16;
constexpr size_t kClasses = 256;
#if defined(__has_feature)  // clang's way to tell
#if __has_feature(address_sanitizer)
#define __SANITIZE_ADDRESS__ 1
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
constexpr uint32_t kKeep = 0;  // every frame from malloc, so that a use after its end is seen
#else
constexpr uint32_t kKeep = 256;
#endif

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

  ~Lists() { give_back(); }
  void give_back() {
    for (Class& list : classes) {
      while (FreeFrame* frame = list.head) {
        list.head = frame->next;
        ::operator delete(frame);
      }
      list.kept = 0;
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

void frame_give_back() { lists.give_back(); }

size_t frame_bytes_alive() { return lists.alive_bytes; }

}  // namespace weir::io

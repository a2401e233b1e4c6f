#pragma once
// Where a driver on a real kernel keeps its operations in flight. A handle is slot × generation, so that a late word
// about an operation that is gone finds nobody instead of its successor. Slots never move and are used again.
// `Part` is what a driver keeps of an operation besides its Op; each begins with a new one.
// Thread: one worker. Lifetime: the driver's.
#include <cstdint>
#include <memory>
#include <vector>

#include "nodeproxy/io/driver.h"

namespace weir::io {

template <typename Part>
class OpSlots {
 public:
  struct Slot : Part {
    Op* op = nullptr;  // null: free
    uint32_t generation = 1;
  };

  // The new operation's handle, never 0 in either half.
  uint64_t take(Op& op) {
    if (free_.empty()) add_chunk();
    const uint32_t index = free_.back();
    free_.pop_back();
    Slot& slot = at(index);
    static_cast<Part&>(slot) = Part();
    slot.op = &op;
    return (uint64_t{slot.generation} << 32) | (uint64_t{index} + 1);
  }

  Slot* find(uint64_t handle) {
    const auto index = static_cast<uint32_t>(handle) - 1;
    if (index >= size()) return nullptr;
    Slot& slot = at(index);
    return slot.op && slot.generation == handle >> 32 ? &slot : nullptr;
  }

  void release(uint64_t handle) {
    Slot& slot = at(static_cast<uint32_t>(handle) - 1);
    slot.op = nullptr;
    if (++slot.generation == 0) slot.generation = 1;
    free_.push_back(static_cast<uint32_t>(handle) - 1);
  }

  bool all_free() const { return free_.size() == size(); }

 private:
  // Large, since they stay: small ones would lie between what comes and goes, and keep its pages.
  static constexpr size_t kChunk = 256;

  size_t size() const { return chunks_.size() * kChunk; }
  Slot& at(uint32_t index) { return chunks_[index / kChunk][index % kChunk]; }
  void add_chunk() {
    for (size_t i = kChunk; i > 0; --i) free_.push_back(static_cast<uint32_t>(size() + i - 1));
    chunks_.push_back(std::make_unique<Slot[]>(kChunk));
  }

  std::vector<std::unique_ptr<Slot[]>> chunks_;
  std::vector<uint32_t> free_;
};

}  // namespace weir::io

#pragma once
// One of a bounded number: counted from the moment somebody let it in until it is released. Who counts, and what, is not
// known here, so a permit can be held in rooms that know nothing of each other.
// Thread: one worker. Lifetime: no longer than the count it was taken from.
#include <cstdint>
#include <utility>

namespace weir {

class Permit {
 public:
  Permit() = default;
  // Takes over one that `count` has counted already.
  explicit Permit(uint32_t& count) : count_(&count) {}
  Permit(Permit&& other) noexcept : count_(std::exchange(other.count_, nullptr)) {}
  Permit& operator=(Permit&& other) noexcept {
    if (this != &other) {
      release();
      count_ = std::exchange(other.count_, nullptr);
    }
    return *this;
  }
  ~Permit() { release(); }
  void release() {
    if (count_) --*std::exchange(count_, nullptr);
  }

 private:
  uint32_t* count_ = nullptr;
};

}  // namespace weir

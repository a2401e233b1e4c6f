#pragma once
// A queue in which one waits, as a rule: the first lies in it, and only those behind it take memory.
// Thread: one. Lifetime: its owner's.
#include <optional>
#include <utility>
#include <vector>

namespace weir {

template <typename T>
class ShortQueue {
 public:
  bool empty() const { return !first_; }
  T& front() { return *first_; }
  T& back() { return rest_.empty() ? *first_ : rest_.back(); }
  void push(T value) {
    if (first_) {
      rest_.push_back(std::move(value));
    } else {
      first_.emplace(std::move(value));
    }
  }
  T pop() {
    T out = std::move(*first_);
    if (rest_.empty()) {
      first_.reset();
    } else {
      *first_ = std::move(rest_.front());
      rest_.erase(rest_.begin());
    }
    return out;
  }

 private:
  std::optional<T> first_;
  std::vector<T> rest_;
};

}  // namespace weir

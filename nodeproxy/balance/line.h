#pragma once
// Weights as lengths on a line: item i owns [start(i), start(i) + weight(i)), and balancing is a way to choose a position.
// Items can be left out of a draw without a new line: the positions behind them move up.
// Owner: a Tier. Thread: its worker's.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <span>
#include <vector>

namespace weir::balance {

class Line {
 public:
  void clear() {
    ends_.clear();
    divisor_ = 0;
    even_ = true;
  }
  void add(uint64_t weight) {
    even_ = even_ && (ends_.empty() || weight == ends_.front());
    if (divisor_ != weight) divisor_ = std::gcd(divisor_, weight);
    ends_.push_back(total() + weight);
  }

  size_t count() const { return ends_.size(); }
  uint64_t total() const { return ends_.empty() ? 0 : ends_.back(); }
  uint64_t divisor() const { return divisor_; }  // greatest common one of the weights
  bool even() const { return even_; }            // all weights are equal
  uint64_t start(uint32_t item) const { return item == 0 ? 0 : ends_[item - 1]; }
  uint64_t weight(uint32_t item) const { return ends_[item] - start(item); }

  // What is left without these items, which are in rising order.
  uint64_t total_without(std::span<const uint32_t> left_out) const {
    uint64_t left = total();
    for (const uint32_t item : left_out) left -= weight(item);
    return left;
  }
  // The item at a position below total_without(left_out).
  uint32_t at(uint64_t position, std::span<const uint32_t> left_out) const {
    for (const uint32_t item : left_out)
      if (position >= start(item)) position += weight(item);
    if (even_) return static_cast<uint32_t>(position / ends_.front());
    return static_cast<uint32_t>(std::upper_bound(ends_.begin(), ends_.end(), position) - ends_.begin());
  }

 private:
  std::vector<uint64_t> ends_;
  uint64_t divisor_ = 0;
  bool even_ = true;
};

}  // namespace weir::balance

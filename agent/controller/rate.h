#pragma once
// How many requests a node may make: a bucket of tokens per node, so that one agent gone wild does not take the others'
// signatures. Owner: the desk. Thread: the loop's. Lifetime: buckets that are full again are forgotten.
#include <algorithm>
#include <chrono>
#include <map>
#include <string>

namespace weir::agent::controller {

class NodeRate {
 public:
  using Clock = std::chrono::steady_clock;

  // A node that starts asks for every service account at once, hence the burst.
  explicit NodeRate(double per_second = 20, double burst = 200) : per_second_(per_second), burst_(burst) {}

  bool take(const std::string& node, Clock::time_point now) {
    if (buckets_.size() > kBucketsMax) forget_full(now);
    auto& bucket = buckets_.try_emplace(node, Bucket{burst_, now}).first->second;
    bucket.left = left(bucket, now);
    bucket.at = now;
    if (bucket.left < 1) return false;
    bucket.left -= 1;
    return true;
  }

 private:
  struct Bucket {
    double left;
    Clock::time_point at;
  };
  static constexpr size_t kBucketsMax = 10'000;

  double left(const Bucket& bucket, Clock::time_point now) const {
    const std::chrono::duration<double> passed = now - bucket.at;
    return std::min(burst_, bucket.left + passed.count() * per_second_);
  }
  void forget_full(Clock::time_point now) {
    std::erase_if(buckets_, [&](const auto& entry) { return left(entry.second, now) >= burst_; });
  }

  double per_second_, burst_;
  std::map<std::string, Bucket> buckets_;
};

}  // namespace weir::agent::controller

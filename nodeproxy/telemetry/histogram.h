#pragma once
// Durations in log-linear buckets, four to each doubling, found with one multiplication and one count of leading zeros:
// fine enough for a p99 that is off by a few per cent, small enough (a kilobyte) for thousands of rows. The unit is
// 125 µs / 64, so that each doubling from 0.5 ms on ends at a bound that people write (1 ms, 2 ms, … 65.536 s); those
// are the bounds that Prometheus gets, and the sums for them are exact.
// Thread: one worker; copies are values.
#include <algorithm>
#include <array>
#include <bit>
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace weir::telemetry {

class Histogram {
 public:
  static constexpr int kStepBits = 2;
  static constexpr size_t kSteps = size_t{1} << kStepBits;
  static constexpr int kTopBits = 30;  // in units: 35 minutes; what takes longer falls into the last bucket
  static constexpr size_t kBuckets = (kTopBits - kStepBits + 1) * kSteps;
  static constexpr double kUnitSeconds = 125e-6 / 64;

  // The exported bounds are those of every doubling from 2^kFirstExportedBits units (0.5 ms).
  static constexpr int kFirstExportedBits = 8;
  static constexpr size_t kExported = 18;

  void observe(std::chrono::nanoseconds duration) {
    const uint64_t nanos = duration.count() < 0 ? 0 : static_cast<uint64_t>(duration.count());
    ++counts_[bucket_of(nanos)];
    ++count_;
    sum_nanos_ += nanos;
  }
  void add(const Histogram& other);

  uint64_t count() const { return count_; }
  double sum_seconds() const { return static_cast<double>(sum_nanos_) * 1e-9; }
  const std::array<uint64_t, kBuckets>& counts() const { return counts_; }

  // Counts up to and including each exported bound.
  std::array<uint64_t, kExported> cumulative() const;
  static constexpr double exported_bound_seconds(size_t index) {
    return kUnitSeconds * static_cast<double>(uint64_t{1} << (kFirstExportedBits + index));
  }
  // The duration that a share `q` (0 to 1) does not exceed, interpolated within its bucket; 0 without observations.
  double quantile_seconds(double q) const;

  // A bucket holds durations above its lower and up to its upper bound.
  static constexpr size_t bucket_of(uint64_t nanos) {
    if (nanos == 0) return 0;
    constexpr uint64_t kTopNanos = (uint64_t{1} << kTopBits) * 15625 / 8;
    const uint64_t units = (std::min(nanos, kTopNanos) * 8 - 1) / 15625;
    if (units < kSteps) return units;
    const int shift = static_cast<int>(std::bit_width(units)) - 1 - kStepBits;
    return (static_cast<size_t>(shift) + 1) * kSteps + ((units >> shift) & (kSteps - 1));
  }
  static constexpr uint64_t upper_bound_units(size_t bucket) {
    if (bucket < kSteps) return bucket + 1;
    const size_t shift = bucket / kSteps - 1;
    return (kSteps + bucket % kSteps + 1) << shift;
  }
  static constexpr double upper_bound_seconds(size_t bucket) {
    return kUnitSeconds * static_cast<double>(upper_bound_units(bucket));
  }
  static constexpr double lower_bound_seconds(size_t bucket) {
    return bucket == 0 ? 0 : upper_bound_seconds(bucket - 1);
  }

 private:
  std::array<uint64_t, kBuckets> counts_{};
  uint64_t count_ = 0;
  uint64_t sum_nanos_ = 0;
};

static_assert(Histogram::bucket_of(~uint64_t{0}) == Histogram::kBuckets - 1);
static_assert(Histogram::upper_bound_units(Histogram::bucket_of(1'000'000)) == 512,
              "1 ms is a bound, and falls below it");

}  // namespace weir::telemetry

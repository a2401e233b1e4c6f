// Sums and quantiles of the buckets. See histogram.h.
#include "nodeproxy/telemetry/histogram.h"

namespace weir::telemetry {

void Histogram::add(const Histogram& other) {
  for (size_t i = 0; i < kBuckets; ++i) counts_[i] += other.counts_[i];
  count_ += other.count_;
  sum_nanos_ += other.sum_nanos_;
}

std::array<uint64_t, Histogram::kExported> Histogram::cumulative() const {
  std::array<uint64_t, kExported> out{};
  uint64_t sum = 0;
  size_t bucket = 0;
  for (size_t i = 0; i < kExported; ++i) {
    const uint64_t bound = uint64_t{1} << (kFirstExportedBits + i);
    for (; bucket < kBuckets && upper_bound_units(bucket) <= bound; ++bucket) sum += counts_[bucket];
    out[i] = sum;
  }
  return out;
}

double Histogram::quantile_seconds(double q) const {
  const double rank = q * static_cast<double>(count_);
  double below = 0;
  double last = 0;
  for (size_t i = 0; i < kBuckets; ++i) {
    if (counts_[i] == 0) continue;
    const auto here = static_cast<double>(counts_[i]);
    last = upper_bound_seconds(i);
    if (below + here >= rank) {
      const double low = lower_bound_seconds(i);
      return low + (last - low) * std::clamp((rank - below) / here, 0.0, 1.0);
    }
    below += here;
  }
  return last;
}

}  // namespace weir::telemetry

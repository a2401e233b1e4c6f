// Building and searching. Points are spread evenly, so they are sorted by counting them into as many buckets as there
// are points and putting right what is left; the buckets then serve as index. See ring.h.
#include "nodeproxy/balance/ring.h"

#include <algorithm>
#include <bit>

#include "nodeproxy/balance/hash.h"

namespace weir::balance {
namespace {

constexpr uint64_t kPointsMax = 512;  // of one member
constexpr uint64_t kPointsMin = 8;    // of the heaviest, or half of that
constexpr uint64_t kRingPoints = 65'536;

uint64_t points_of(uint64_t weight, uint64_t unit, uint64_t most) {
  return std::max<uint64_t>(1, static_cast<uint64_t>(static_cast<unsigned __int128>(weight) * most / unit));
}

}  // namespace

Ring::Ring(std::span<const Weighted> members) {
  uint64_t heaviest = 1;
  for (const Weighted& member : members) heaviest = std::max(heaviest, member.weight);
  const uint64_t unit = std::bit_ceil(heaviest);
  const uint64_t room = kRingPoints / std::bit_ceil(std::max<uint64_t>(1, members.size()));
  const uint64_t most = std::clamp(room, kPointsMin, kPointsMax);

  std::vector<uint64_t> unsorted;
  for (uint32_t i = 0; i < members.size(); ++i) {
    const uint64_t seed = mix(members[i].id);
    // Of two places equal in what is kept of them, the smaller index is first: the smaller id, in every proxy.
    for (uint64_t k = points_of(members[i].weight, unit, most); k > 0; --k)
      unsorted.push_back((mix(seed + k * 0x9e3779b97f4a7c15ULL) & ~kMemberMask) | i);
  }

  const size_t buckets = std::bit_ceil(std::max<size_t>(2, unsorted.size()));
  shift_ = 64 - std::countr_zero(buckets);
  starts_.assign(buckets + 1, 0);
  for (const uint64_t point : unsorted) ++starts_[bucket(point) + 1];
  for (size_t i = 1; i < starts_.size(); ++i) starts_[i] += starts_[i - 1];
  points_.resize(unsorted.size());
  std::vector<uint32_t> next(starts_.begin(), starts_.end() - 1);
  for (const uint64_t point : unsorted) points_[next[bucket(point)]++] = point;
  for (size_t i = 0; i + 1 < starts_.size(); ++i)
    if (starts_[i + 1] - starts_[i] > 1)
      std::sort(points_.begin() + starts_[i], points_.begin() + starts_[i + 1]);
}

size_t Ring::first_behind(uint64_t hash) const {
  if (points_.empty()) return 0;
  size_t at = starts_[bucket(hash)];
  while (at < points_.size() && points_[at] < (hash & ~kMemberMask)) ++at;
  return at == points_.size() ? 0 : at;
}

}  // namespace weir::balance

#pragma once
// Consistent hashing on a ring (Karger et al. 1997; ketama): each member owns many points of the ring, in proportion to
// its weight, and a key belongs to the first point behind it. A member that comes or goes moves only its own keys, and
// one that is passed over leaves its keys to its neighbours, as if it were gone.
//
// How many points a member has must not depend on who else is there, or a newcomer would move everybody's; it follows
// from its weight relative to the largest rounded up to a power of two (400 for equal ones of 100), and above 128
// members is halved with every doubling: 65,536 points in all, or 8 each.
// Built from members in the order of their ids, whatever order they came in: the same set, the same ring, in every
// proxy. Owner: a Tier. Thread: its worker's.
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace weir::balance {

// What a table is made of.
struct Weighted {
  uint64_t id = 0;
  uint64_t weight = 0;
};

class Ring {
 public:
  static constexpr uint32_t nobody = UINT32_MAX;

  explicit Ring(std::span<const Weighted> members);

  // The first member from there on that `usable(index)` accepts: an index into what the ring was built from.
  template <typename Usable>
  uint32_t find(uint64_t hash, Usable&& usable) const {
    size_t at = first_behind(hash);
    for (size_t i = 0; i < points_.size(); ++i, ++at) {
      if (at == points_.size()) at = 0;
      const auto member = static_cast<uint32_t>(points_[at] & kMemberMask);
      if (usable(member)) return member;
    }
    return nobody;
  }

  size_t points() const { return points_.size(); }
  size_t bytes() const {
    return points_.capacity() * sizeof(uint64_t) + starts_.capacity() * sizeof(uint32_t);
  }

 private:
  // A point is a place on the ring, above, and a member, below.
  static constexpr int kMemberBits = 24;
  static constexpr uint64_t kMemberMask = (uint64_t{1} << kMemberBits) - 1;

  size_t bucket(uint64_t place) const { return place >> shift_; }
  size_t first_behind(uint64_t hash) const;

  int shift_ = 0;
  std::vector<uint64_t> points_;  // rising
  std::vector<uint32_t> starts_;  // of each bucket, an equal part of the ring: where its points begin
};

}  // namespace weir::balance

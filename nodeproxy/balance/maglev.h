#pragma once
// Maglev hashing (Eisenbud et al., NSDI 2016, section 3.4): members take turns to claim the slot they like best among
// those still free, each by a permutation of its own, until the table is full. Shares are as even as the slots allow,
// more so than a ring's; a member that comes or goes moves its own keys and a few others.
//
// Weights are how often a member has its turn: the heaviest in every round, others in their share of the rounds. The order
// of turns is that of ids, whatever order members came in: the same set, the same table, in every proxy.
// The size is fixed, since another size is another table: 65,537 slots, two bytes each, fine up to some 1,000 members.
// Owner: a Tier. Thread: its worker's.
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "nodeproxy/balance/hash.h"
#include "nodeproxy/balance/ring.h"

namespace weir::balance {

class Maglev {
 public:
  static constexpr uint32_t nobody = UINT32_MAX;
  static constexpr uint32_t slots = 65'537;  // prime, so that every step is a permutation
  static constexpr size_t members_max = UINT16_MAX;

  // The first members_max count.
  explicit Maglev(std::span<const Weighted> members);

  // The member of this key that `usable(index)` accepts: the slot's own, else those of other slots the key leads to, so
  // that the keys of a member that is passed over are spread over all others.
  template <typename Usable>
  uint32_t find(uint64_t hash, Usable&& usable) const {
    if (table_.empty()) return nobody;
    constexpr int kLeaps = 16;
    for (int leap = 0; leap < kLeaps; ++leap, hash = mix(hash + 1))
      if (usable(table_[slot(hash)])) return table_[slot(hash)];
    uint32_t at = slot(hash);
    for (uint32_t i = 0; i < slots; ++i, at = at + 1 == slots ? 0 : at + 1)
      if (usable(table_[at])) return table_[at];
    return nobody;
  }

  std::span<const uint16_t> table() const { return table_; }
  size_t bytes() const { return table_.capacity() * sizeof(uint16_t); }

 private:
  static uint32_t slot(uint64_t hash) {
    return static_cast<uint32_t>((static_cast<unsigned __int128>(hash) * slots) >> 64);
  }
  std::vector<uint16_t> table_;
};

}  // namespace weir::balance

// Filling the table. See maglev.h.
#include "nodeproxy/balance/maglev.h"

#include <algorithm>
#include <numeric>

namespace weir::balance {
namespace {

// Of one member: where it is in its permutation of the slots, and when it has its next turn. `pause` is the time between
// two turns, in units of which the heaviest's is 2^20.
struct Claim {
  uint32_t place = 0, step = 0;
  uint64_t due = 0, pause = 0;
};

// One bit a slot: the search for a free one is most of the work, and eight kilobytes stay in the nearest cache.
class Taken {
 public:
  bool operator[](uint32_t slot) const { return (words_[slot / 64] >> (slot % 64) & 1) != 0; }
  void set(uint32_t slot) { words_[slot / 64] |= uint64_t{1} << (slot % 64); }

 private:
  std::vector<uint64_t> words_ = std::vector<uint64_t>(Maglev::slots / 64 + 1);
};

}  // namespace

Maglev::Maglev(std::span<const Weighted> members) {
  members = members.first(std::min(members.size(), members_max));
  uint64_t heaviest = 0, lightest = UINT64_MAX;
  for (const Weighted& member : members) {
    heaviest = std::max(heaviest, member.weight);
    lightest = std::min(lightest, member.weight);
  }
  if (heaviest == 0) return;
  std::vector<Claim> claims;
  for (const Weighted& member : members) {
    const uint64_t first = mix(member.id), second = mix(first + 0x9e3779b97f4a7c15ULL);
    const uint64_t pause = (heaviest << 20) / std::max<uint64_t>(1, member.weight);
    claims.push_back({static_cast<uint32_t>(first % slots), static_cast<uint32_t>(second % (slots - 1)) + 1,
                      pause, pause});
  }
  table_.resize(slots);
  Taken taken;
  const auto claim = [&](uint32_t member) {
    Claim& mine = claims[member];
    do {
      mine.place += mine.step;
      if (mine.place >= slots) mine.place -= slots;
    } while (taken[mine.place]);
    taken.set(mine.place);
    table_[mine.place] = static_cast<uint16_t>(member);
  };

  const auto count = static_cast<uint32_t>(claims.size());
  if (heaviest == lightest) {
    for (uint32_t i = 0; i < slots; ++i) claim(i % count);
    return;
  }
  // Whose turn is due first, is next; of equal ones the first in the order of ids. A heap, so that one heavy member among
  // thousands of light ones does not cost a walk over all for each of its turns.
  const auto later = [&](uint32_t a, uint32_t b) {
    return claims[a].due != claims[b].due ? claims[a].due > claims[b].due : a > b;
  };
  std::vector<uint32_t> heap(count);
  std::iota(heap.begin(), heap.end(), 0U);
  std::make_heap(heap.begin(), heap.end(), later);
  for (uint32_t i = 0; i < slots; ++i) {
    std::pop_heap(heap.begin(), heap.end(), later);
    claim(heap.back());
    claims[heap.back()].due += claims[heap.back()].pause;
    std::push_heap(heap.begin(), heap.end(), later);
  }
}

}  // namespace weir::balance

// Counting and dice. See state.h.
#include "nodeproxy/balance/state.h"

namespace weir::balance {

void State::closed(uint64_t endpoint_id) {
  const auto found = open_.find(endpoint_id);
  if (found != open_.end() && --found->second == 0) open_.erase(found);
}

// splitmix64 (Steele, Lea, Flood 2014): eight bytes of state, and good enough for choosing.
uint64_t State::random() {
  uint64_t mixed = (random_ += 0x9e3779b97f4a7c15ULL);
  mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9ULL;
  mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebULL;
  return mixed ^ (mixed >> 31);
}

uint64_t State::random_below(uint64_t bound) {
  // Multiplying instead of dividing; the bias is below bound / 2^64.
  return static_cast<uint64_t>((static_cast<unsigned __int128>(random()) * bound) >> 64);
}

uint64_t State::next_turn(uint64_t service_key) {
  if (turns_.size() >= kTurnsMax && !turns_.contains(service_key)) turns_.clear();
  const auto [found, fresh] = turns_.try_emplace(service_key, 0);
  // A start below 2^32, so that the turn times a stride does not overflow.
  if (fresh) found->second = random() >> 32;
  return found->second++;
}

}  // namespace weir::balance

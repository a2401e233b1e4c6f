#pragma once
// A worker's dice: splitmix64 (Steele, Lea, Flood 2014), eight bytes of state and good enough for choosing. The same
// seed gives the same sequence on every machine.
// Owner: balance::State. Thread: its worker's.
#include <cstdint>

namespace weir::balance {

class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}

  uint64_t next() {
    uint64_t mixed = (state_ += 0x9e3779b97f4a7c15ULL);
    mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9ULL;
    mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebULL;
    return mixed ^ (mixed >> 31);
  }

  // Uniform in [0, bound); bound > 0. Multiplying instead of dividing; the bias is below bound / 2^64.
  uint64_t below(uint64_t bound) {
    return static_cast<uint64_t>((static_cast<unsigned __int128>(next()) * bound) >> 64);
  }

 private:
  uint64_t state_;
};

}  // namespace weir::balance

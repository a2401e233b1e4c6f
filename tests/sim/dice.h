#pragma once
// What a random history draws from. Thread: the test's.
#include <cstdint>
#include <random>

namespace weir::test {

class Dice {
 public:
  explicit Dice(uint64_t seed) : random(seed) {}
  uint64_t below(uint64_t bound) { return random() % bound; }
  bool one_in(uint64_t bound) { return below(bound) == 0; }

  std::mt19937_64 random;
};

}  // namespace weir::test

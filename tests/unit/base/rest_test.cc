// When memory is given back.
#include "nodeproxy/base/rest.h"

#include <catch2/catch.hpp>

namespace weir {
namespace {

struct Process {
  Rest rest;
  uint64_t turns = 0;
  Rest::TimePoint now = Rest::TimePoint{} + std::chrono::hours(1);

  // How often rest began in this time, with so many turns a second.
  int pass(int seconds, uint64_t turns_per_second) {
    int began = 0;
    for (int i = 0; i < seconds; ++i) {
      now += std::chrono::seconds(1);
      turns += turns_per_second;
      began += rest.begins(turns, 2, now) ? 1 : 0;
    }
    return began;
  }
};

TEST_CASE("a process that has worked comes to rest once, when nobody has worked for a while") {
  Process process;
  CHECK(process.pass(60, 4) == 0);  // it has done nothing yet
  CHECK(process.pass(60, 3000) == 0);
  CHECK(process.pass(4, 20) == 0);
  CHECK(process.pass(8, 20) == 1);
  CHECK(process.pass(3600, 20) == 0);
  CHECK(process.pass(60, 3000) == 0);
  CHECK(process.pass(12, 20) == 1);
}

TEST_CASE("scrapes and probes are no work, and a little work is not worth it") {
  Process process;
  CHECK(process.pass(3600, 50) == 0);
  process.pass(6, 3000);
  CHECK(process.pass(12, 20) == 1);
  process.pass(6, 150);
  CHECK(process.pass(60, 20) == 0);
}

}  // namespace
}  // namespace weir

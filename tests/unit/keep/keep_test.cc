// How soon a program is started again, and what its end is called. The process itself: test_restarts.py.
#include "agent/keep/keep.h"

#include <catch2/catch.hpp>

namespace weir::keep {
namespace {

using std::chrono::milliseconds;

TEST_CASE("a program that ran well is started again at once") {
  Pace pace;
  for (int n = 0; n < 5; ++n) CHECK(pace.before_next(Pace::ran_well) == milliseconds(0));
}

TEST_CASE("a program that dies at its start is started less and less often, up to a limit") {
  Pace pace;
  CHECK(pace.before_next(milliseconds(5)) == milliseconds(0));
  CHECK(pace.before_next(milliseconds(5)) == Pace::first);
  CHECK(pace.before_next(milliseconds(5)) == 2 * Pace::first);
  milliseconds last{};
  for (int n = 0; n < 20; ++n) last = pace.before_next(milliseconds(5));
  CHECK(last == Pace::longest);
}

TEST_CASE("once it has run well what was before is forgotten") {
  Pace pace;
  for (int n = 0; n < 20; ++n) pace.before_next(milliseconds(5));
  CHECK(pace.before_next(Pace::ran_well) == milliseconds(0));
  CHECK(pace.before_next(milliseconds(5)) == Pace::first);
}

TEST_CASE("an end is told as a shell tells it") {
  const Ending killed(9), by_itself(3 << 8);  // as waitpid() has them
  CHECK(killed.by_signal());
  CHECK(killed.exit_code() == 137);
  CHECK(killed.text() == "was ended by signal 9");
  CHECK_FALSE(by_itself.by_signal());
  CHECK(by_itself.exit_code() == 3);
  CHECK(by_itself.text() == "ended with exit code 3");
}

}  // namespace
}  // namespace weir::keep

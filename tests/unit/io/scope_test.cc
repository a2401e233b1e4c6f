// Tasks, scopes, signals and deferred work, on the simulator's clock.
#include "nodeproxy/io/scope.h"

#include "tests/unit/io/worlds.h"

namespace weir::io {
namespace {

using namespace std::chrono_literals;

Task<int> number(int value) { co_return value; }

Task<void> sum_of(int count, int64_t& sum) {
  for (int i = 0; i < count; ++i) sum += co_await number(i);
}

Task<int> deep(int levels) {
  if (levels == 0) co_return 0;
  const int below = co_await deep(levels - 1);
  co_return below + 1;
}

Task<void> keep(Task<int> task, int& out) { out = co_await std::move(task); }

Task<void> wait_for(Signal& signal, TimePoint deadline, Reason& outcome) {
  const Status status = co_await signal.wait(deadline);
  outcome = status ? Reason::none : status.error().reason;
}

// Waits for both signals, side by side, and counts how far it came.
Task<void> wait_for_two(Signal& a, Signal& b, Reason (&outcomes)[2], int& done) {
  co_await both(wait_for(a, kNever, outcomes[0]), wait_for(b, kNever, outcomes[1]));
  ++done;
}

struct Counted {
  explicit Counted(int& alive) : alive_(&alive) { ++*alive_; }
  Counted(Counted&& other) noexcept : alive_(other.alive_) { ++*alive_; }
  ~Counted() { --*alive_; }
  int* alive_;
};

Task<void> hold(Counted held, Signal& signal) {
  const Status status = co_await signal.wait();
  (void)status;
  (void)held;
}

// Deletes itself when its last child has ended, as a flow's scope does.
struct SelfOwned final : Scope {
  SelfOwned(Driver& driver, bool& gone) : Scope(driver), gone_(gone) {}
  ~SelfOwned() override { gone_ = true; }
  void on_empty() override { delete this; }
  bool& gone_;
};

void settle(Driver& driver) {
  for (int i = 0; i < 5; ++i) driver.turn(driver.now());
}

}  // namespace

TEST_CASE("a loop over tasks that end at once does not use the stack up") {
  SimulatedWorld world;
  Scope scope(world.driver());
  int64_t sum = 0;
  scope.spawn(sum_of(300'000, sum));
  CHECK(scope.empty());
  CHECK(sum == int64_t{300'000} * 299'999 / 2);
}

TEST_CASE("tasks hand values up through many levels, and every frame is given back") {
  SimulatedWorld world;
  const size_t before = frame_bytes_alive();
  Scope scope(world.driver());
  int levels = 0;
  scope.spawn(keep(deep(500), levels));
  CHECK(levels == 500);
  CHECK(frame_bytes_alive() == before);
}

TEST_CASE("a task that is never started destroys its parameters once") {
  int alive = 0;
  Signal signal;
  {
    const Task<void> task = hold(Counted(alive), signal);
    CHECK(alive == 1);
  }
  CHECK(alive == 0);
}

TEST_CASE("parameters of a spawned task live exactly as long as it runs") {
  SimulatedWorld world;
  Scope scope(world.driver());
  int alive = 0;
  Signal signal;
  scope.spawn(hold(Counted(alive), signal));
  CHECK(alive == 1);
  signal.notify();
  run_until_empty(scope);
  CHECK(alive == 0);
}

TEST_CASE("both waits for the slower one, whichever that is") {
  SimulatedWorld world;
  Scope scope(world.driver());
  const bool first = GENERATE(true, false);
  Signal a, b;
  Reason outcomes[2] = {Reason::internal, Reason::internal};
  int done = 0;
  scope.spawn(wait_for_two(a, b, outcomes, done));
  (first ? a : b).notify();
  settle(world.driver());
  CHECK(done == 0);
  CHECK(outcomes[first ? 0 : 1] == Reason::none);
  (first ? b : a).notify();
  run_until_empty(scope);
  CHECK(done == 1);
  CHECK(outcomes[first ? 1 : 0] == Reason::none);
}

TEST_CASE("both ends at once when both parts do, and with the scope when that is cancelled") {
  SimulatedWorld world;
  Signal a, b;
  Reason outcomes[2] = {Reason::internal, Reason::internal};
  int done = 0;
  Scope scope(world.driver());
  a.notify();
  b.notify();
  scope.spawn(wait_for_two(a, b, outcomes, done));
  CHECK(scope.empty());
  CHECK(done == 1);
  scope.spawn(wait_for_two(a, b, outcomes, done));
  scope.cancel();
  run_until_empty(scope);
  CHECK(done == 2);
  CHECK(outcomes[0] == Reason::cancelled);
  CHECK(outcomes[1] == Reason::cancelled);
}

TEST_CASE("a signal given before the wait is not lost, and is taken once") {
  SimulatedWorld world;
  Scope scope(world.driver());
  Signal signal;
  Reason outcome = Reason::internal;
  signal.notify();
  signal.notify();
  CHECK(signal.pending());
  scope.spawn(wait_for(signal, kNever, outcome));
  CHECK(outcome == Reason::none);
  CHECK(!signal.pending());
  outcome = Reason::internal;
  scope.spawn(wait_for(signal, world.driver().now() + 5ms, outcome));
  run_until_empty(scope);
  CHECK(outcome == Reason::detect_timeout);
}

TEST_CASE("a signal, its deadline and a cancel in one turn end the wait once") {
  SimulatedWorld world;
  Scope scope(world.driver());
  Signal signal;
  Reason outcome = Reason::internal;
  scope.spawn(wait_for(signal, world.driver().now(), outcome));
  signal.notify();
  scope.cancel();
  run_until_empty(scope);
  CHECK(outcome == Reason::none);
  CHECK(!signal.pending());
  settle(world.driver());
}

TEST_CASE("a scope may go in its own on_empty") {
  SimulatedWorld world;
  const size_t before = frame_bytes_alive();
  bool gone = false;
  Signal signal;
  Reason outcome = Reason::internal;
  auto* scope = new SelfOwned(world.driver(), gone);
  scope->spawn(wait_for(signal, kNever, outcome));
  CHECK(!gone);
  scope->cancel();
  settle(world.driver());
  CHECK(gone);
  CHECK(outcome == Reason::cancelled);
  CHECK(frame_bytes_alive() == before);
}

TEST_CASE("deferred work runs once a turn however often it was asked for, and not after it was forgotten") {
  SimulatedWorld world;
  struct Work final : Deferred {
    void run_deferred() override { ++runs; }
    int runs = 0;
  } wanted, forgotten;
  Driver& driver = world.driver();
  driver.defer(wanted);
  driver.defer(wanted);
  driver.defer(forgotten);
  driver.forget(forgotten);
  CHECK(wanted.runs == 0);
  driver.turn(driver.now());
  CHECK(wanted.runs == 1);
  CHECK(forgotten.runs == 0);
  driver.defer(wanted);
  driver.turn(driver.now());
  CHECK(wanted.runs == 2);
}

}  // namespace weir::io

// Reading ahead: one buffer waits, and whoever takes it may give up without losing a byte.
#include "nodeproxy/http/read_ahead.h"

#include "nodeproxy/base/limits.h"
#include "tests/unit/http/memory_stream.h"

namespace weir::http::test {
namespace {

using namespace std::chrono_literals;

struct Ahead {
  Wire in, out;
  MemoryStream stream{in, out};
  ReadAhead ahead{stream};
  int ends = 0;
  Loop loop;

  Ahead() {
    ahead.on_end([](void* self) { ++static_cast<Ahead*>(self)->ends; }, this);
  }
  void begin() { loop.scope.spawn(ahead.run()); }
  Result<io::Buffer> take(io::TimePoint deadline = io::kNever) { return loop.run(ahead.take(deadline)); }
};

io::Task<bool> lingered(ReadAhead& ahead, io::Driver& driver) {
  co_await ahead.linger(driver);
  co_return true;
}

TEST_CASE("one buffer waits, and the next is read when it has been taken") {
  Ahead test;
  test.begin();
  test.in.say("one");
  test.loop.idle();
  test.in.say("two");
  test.loop.idle();
  CHECK(test.in.reads == 1);
  CHECK(test.ahead.ready());
  const auto first = test.take();
  REQUIRE(first);
  CHECK(text_of(*first) == "one");
  test.loop.idle();
  CHECK(test.in.reads == 2);
  const auto second = test.take();
  REQUIRE(second);
  CHECK(text_of(*second) == "two");
}

TEST_CASE("a taker that gives up at its deadline loses nothing") {
  Ahead test;
  test.begin();
  const auto late = test.take(test.loop.driver.now() + 5s);
  REQUIRE(!late);
  CHECK(late.error().reason == Reason::detect_timeout);
  test.in.say("after all");
  const auto there = test.take();
  REQUIRE(there);
  CHECK(text_of(*there) == "after all");
}

TEST_CASE("what was put back comes before what is read") {
  Ahead test;
  test.ahead.put_back(io::copy_to_buffer(bytes_of("first")));
  test.begin();
  test.in.say("then");
  const auto first = test.take();
  const auto then = test.take();
  REQUIRE((first && then));
  CHECK(text_of(*first) == "first");
  CHECK(text_of(*then) == "then");
}

TEST_CASE("a FIN is told once while nobody waits, and is an empty buffer to every taker") {
  Ahead test;
  test.begin();
  test.in.finish();
  test.loop.idle();
  CHECK(test.ends == 1);
  CHECK(test.ahead.ready());
  for (int i = 0; i < 2; ++i) {
    const auto end = test.take();
    REQUIRE(end);
    CHECK(end->empty());
  }
}

TEST_CASE("bytes that came before a reset are taken before the error") {
  Ahead test;
  test.begin();
  test.in.say("last words");
  test.loop.idle();
  test.in.reset();
  const auto words = test.take();
  REQUIRE(words);
  CHECK(text_of(*words) == "last words");
  const auto error = test.take();
  REQUIRE(!error);
  CHECK(error.error().reason == Reason::io);
  CHECK(test.ends == 1);
}

TEST_CASE("who stops wakes the taker with the end") {
  Ahead test;
  test.begin();
  const auto waiting = test.loop.start(test.ahead.take(io::kNever));
  test.loop.idle();
  CHECK(!waiting->has_value());
  test.ahead.stop();
  test.loop.idle();
  REQUIRE(waiting->has_value());
  REQUIRE(**waiting);
  CHECK((**waiting)->empty());
}

TEST_CASE("before a close, the peer's FIN is waited for a second of silence, or half a minute of talk") {
  Ahead test;
  test.begin();
  const auto begun = test.loop.driver.now();
  const auto over = test.loop.start(lingered(test.ahead, test.loop.driver));
  SECTION("silence") {
    REQUIRE(test.loop.world.run_until([&] { return over->has_value(); }));
    CHECK(test.loop.driver.now() - begun < 2s);
  }
  SECTION("talk") {
    for (int i = 0; i < 28; ++i) {
      test.in.say("x");
      test.loop.world.run_for(900ms);
      CHECK(!over->has_value());
    }
    for (int i = 0; i < 8; ++i) {
      test.in.say("x");
      test.loop.world.run_for(900ms);
    }
    CHECK(over->has_value());
  }
  SECTION("much of it") {
    test.in.say(std::string(limits::http_linger_max_bytes + 20'000, 'x'));
    test.loop.idle();
    CHECK(over->has_value());
  }
  SECTION("FIN") {
    test.in.finish();
    test.loop.idle();
    CHECK(over->has_value());
  }
}

TEST_CASE(
    "what is on its way to a peer that reads slowly is waited for before a close, for an hour at most") {
  Ahead test;
  test.begin();
  test.out.undelivered = true;
  const auto over = test.loop.start(lingered(test.ahead, test.loop.driver));
  test.loop.world.run_for(59min);
  CHECK(!over->has_value());
  test.out.undelivered = GENERATE(false, true);
  test.loop.world.run_for(test.out.undelivered ? 61s : 2s);
  CHECK(over->has_value());
}

}  // namespace
}  // namespace weir::http::test

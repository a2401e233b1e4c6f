// Where accepted connections go, and that none goes to a worker that has left. Run under TSan too.
#include "nodeproxy/flow/spread.h"

#include <array>
#include <atomic>
#include <catch2/catch.hpp>
#include <thread>
#include <vector>

namespace weir::flow {
namespace {

struct Open : Spread {
  explicit Open(uint32_t workers) : Spread(workers) {
    for (uint32_t i = 0; i < workers; ++i) open(i);
  }
};

TEST_CASE(
    "a worker that accepts all is ahead by two where there are few, and by a quarter where there are many") {
  const uint32_t workers = GENERATE(2U, 3U, 8U);
  Open spread(workers);
  for (uint32_t i = 0; i < 4 * workers; ++i) spread.place(0);
  for (uint32_t i = 1; i < workers; ++i) CHECK(spread.count(0) <= spread.count(i) + 2);
  for (uint32_t i = 0; i < 400 * workers; ++i) spread.place(0);
  for (uint32_t i = 1; i < workers; ++i) {
    CHECK(spread.count(0) > spread.count(i) + 50);
    CHECK(spread.count(0) <= spread.count(i) + spread.count(i) / 4 + 2);
  }
}

TEST_CASE("a lane goes to the worker of its dialler's number, whoever accepts it") {
  Open spread(2);
  for (const uint16_t port : {61000, 61002, 61001, 61003}) spread.place_lane(0, port);
  CHECK(spread.count(0) == 2);
  CHECK(spread.count(1) == 2);
  CHECK(spread.place_lane(0, 62001) == 1);
  CHECK(spread.place_lane(1, 62000) == 0);
  CHECK(spread.place_lane(1, 40000) == 1);  // no lane's port: where it is
}

TEST_CASE("lanes of diallers with another number of workers are divided evenly") {
  Open spread(2);
  for (uint16_t port = 61001; port < 61031; port += 3) spread.place_lane(0, port);
  CHECK(spread.count(0) == 5);
  CHECK(spread.count(1) == 5);
}

TEST_CASE("lanes that are all of one number do not all go to one worker") {
  Open spread(2);
  for (uint16_t port = 61000; port < 61200; port += 2) spread.place_lane(0, port);
  CHECK(spread.count(0) + spread.count(1) == 100);
  CHECK(spread.count(1) >= 40);
}

TEST_CASE("connections that follow one another stay with who accepts them") {
  Open spread(2);
  for (int i = 0; i < 10; ++i) {
    CHECK(spread.place(0) == 0);  // the one before is still counted
    if (i > 0) spread.leave(0);
  }
}

TEST_CASE("a connection that ends makes room where it was") {
  Open spread(2);
  CHECK(spread.place(0) == 0);
  {
    CHECK(spread.place(0) == 0);
    const Seat seat(spread, 0);
    CHECK(spread.place(0) == 1);
  }
  CHECK(spread.count(0) == 1);
  CHECK(spread.place(0) == 0);
}

TEST_CASE("nothing is handed to a worker that does not serve the pod yet, or no longer") {
  Spread spread(3);
  spread.open(0);
  for (int i = 0; i < 5; ++i) CHECK(spread.place(0) == 0);
  CHECK(spread.place_lane(0, 61001) == 0);
  spread.open(1);
  CHECK(spread.place(0) == 1);
  spread.close(1);
  CHECK(spread.count(1) == 1);  // what is on its way
  CHECK(spread.place(0) == 0);
  CHECK(spread.place_lane(0, 61001) == 0);
}

TEST_CASE("who has closed its slot and counts nobody is handed nothing more") {
  constexpr uint32_t kLeaver = 1, kBusy = 100;
  uint64_t handed = 0, late = 0;
  for (int round = 0; round < 400; ++round) {
    Spread spread(3);
    for (const uint32_t acceptor : {0U, 2U}) {
      spread.open(acceptor);
      for (uint32_t i = 0; i < kBusy; ++i) spread.place(acceptor);
    }
    spread.open(kLeaver);
    std::atomic<bool> gone = false;
    std::atomic<uint32_t> sent = 0, too_late = 0;
    std::vector<std::thread> threads;
    for (const uint32_t acceptor : {0U, 2U}) {
      threads.emplace_back([&, acceptor] {
        for (bool last = false; !last;) {
          last = gone;
          const uint32_t to = spread.place(acceptor);
          if (to != kLeaver) {
            spread.leave(to);
            continue;
          }
          if (gone) ++too_late;
          ++sent;  // the message
        }
      });
    }
    uint32_t taken = 0;
    const auto take = [&] {
      for (; taken < sent; ++taken) spread.leave(kLeaver);
    };
    while (taken < 5) take();
    spread.close(kLeaver);
    while (spread.count(kLeaver) > 0) take();
    gone = true;
    for (std::thread& thread : threads) thread.join();
    handed += sent;
    late += too_late;
  }
  CHECK(late == 0);
  CHECK(handed >= 5 * 400);
}

}  // namespace
}  // namespace weir::flow

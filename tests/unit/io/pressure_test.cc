// A kernel's driver with far too little of everything: completions overflow the ring, receives find no buffer, both at once.
// Everything goes on, each stream in its order, and nothing is lost.
#include <sys/socket.h>

#include <type_traits>

#include "tests/unit/io/connections.h"
#include "tests/unit/io/pattern.h"

namespace weir::io {
namespace {

using namespace std::chrono_literals;

template <typename World>
typename World::Options too_little() {
  typename World::Options out;
  if constexpr (std::is_same_v<World, UringWorld>) out.entries = 4;
  out.small_buffers = 4;
  out.large_buffers = 1;
  return out;
}

struct Arrival final : Op {
  std::vector<size_t>* order = nullptr;
  size_t number = 0;
  Buffer kept;
  void complete(int32_t result, Buffer buffer, bool) override {
    CHECK(result > 0);
    order->push_back(number);
    kept = std::move(buffer);
  }
};

}  // namespace

FOR_EVERY_KERNEL_DRIVER("with far too few buffers and completions moves every stream to its end, in order") {
  TestType world(too_little<TestType>());
  Driver& driver = world.driver();
  Acceptor acceptor(driver, world.listen());
  constexpr size_t kCount = 60, kBytes = 60'000;
  Connections connections(acceptor, kCount);
  Scope scope(driver);
  std::vector<uint64_t> there(kCount), back(kCount);
  std::vector<Status> sent(2 * kCount);
  for (size_t i = 0; i < kCount; ++i) {
    const ReceiveSize size = i % 3 == 0 ? ReceiveSize::large : ReceiveSize::small;
    scope.spawn(receive_pattern(connections.servers[i], i, size, there[i]));
    scope.spawn(receive_pattern(connections.clients[i], kCount + i, size, back[i]));
    scope.spawn(send_pattern(connections.clients[i], i, kBytes, sent[2 * i]));
    scope.spawn(send_pattern(connections.servers[i], kCount + i, kBytes, sent[2 * i + 1]));
  }
  run_until_empty(scope, 120s);
  CHECK(there == std::vector<uint64_t>(kCount, kBytes));
  CHECK(back == std::vector<uint64_t>(kCount, kBytes));
  CHECK(std::ranges::all_of(sent, [](const Status& status) { return status.has_value(); }));
}

FOR_EVERY_KERNEL_DRIVER("gives buffers that come back to whoever has waited longest") {
  TestType world(too_little<TestType>());
  Driver& driver = world.driver();
  Acceptor acceptor(driver, world.listen());
  constexpr size_t kCount = 25, kBuffers = 5;
  Connections connections(acceptor, kCount);
  std::vector<size_t> order;
  std::deque<Arrival> arrivals(kCount);
  for (size_t i = 0; i < kCount; ++i) {
    arrivals[i].order = &order;
    arrivals[i].number = i;
    // One after the other: each finds its byte there, and a buffer or none.
    REQUIRE(::send(connections.clients[i].fd(), "x", 1, MSG_NOSIGNAL) == 1);
    driver.receive(arrivals[i], connections.servers[i].fd(), ReceiveSize::small, false);
    for (int turn = 0; turn < 3; ++turn) driver.turn(driver.now() + 1ms);
  }
  REQUIRE(order.size() == kBuffers);
  for (size_t served = kBuffers; served < kCount; ++served) {
    arrivals[served - kBuffers].kept = {};
    for (int turn = 0; turn < 100 && order.size() == served; ++turn) driver.turn(driver.now() + 1ms);
    REQUIRE(order.size() == served + 1);
  }
  for (size_t i = 0; i < kCount; ++i) CHECK(order[i] == i);
}

}  // namespace weir::io

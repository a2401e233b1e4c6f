// Whose turn it is: the queue by itself, and a driver's turns with a pod that keeps it busy.
#include "nodeproxy/io/fair_queue.h"

#include <set>
#include <string>

#include "nodeproxy/base/limits.h"
#include "nodeproxy/io/sleep.h"
#include "tests/unit/io/worlds.h"

namespace weir::io {
namespace {

using namespace std::chrono_literals;

constexpr Share kFlood = 1, kOther = 2, kThird = 3;

void push(FairQueue& queue, Share share, uint64_t count) {
  for (uint64_t i = 0; i < count; ++i) queue.push(share, {.handle = i});
}

// Pops everything, each item having taken `each`; the shares in the order of their turns.
std::string turns(FairQueue& queue, Clock::duration each) {
  std::string order;
  while (!queue.empty()) {
    const Share share = queue.pop().first;
    order += static_cast<char>('0' + share);
    queue.charge(share, each);
  }
  return order;
}

TEST_CASE("an account's items come in their order") {
  FairQueue queue;
  push(queue, kFlood, 5);
  for (uint64_t i = 0; i < 5; ++i) CHECK(queue.pop().second.handle == i);
  CHECK(queue.empty());
}

TEST_CASE("accounts take turns of a quantum each") {
  FairQueue queue;
  push(queue, kFlood, 6);
  push(queue, kOther, 6);
  CHECK(turns(queue, limits::turn_quantum / 2) == "112211221122");
}

TEST_CASE("an account that overran its quantum waits until the others have had as much") {
  FairQueue queue;
  push(queue, kFlood, 2);
  push(queue, kOther, 8);
  std::string order;
  while (!queue.empty()) {
    const Share share = queue.pop().first;
    order += static_cast<char>('0' + share);
    queue.charge(share, share == kFlood ? 4 * limits::turn_quantum : limits::turn_quantum);
  }
  CHECK(order == "1222212222");
}

TEST_CASE("an account that was idle goes before those that have been waiting") {
  FairQueue queue;
  push(queue, kFlood, 4);
  push(queue, kThird, 4);
  CHECK(queue.pop().first == kFlood);
  queue.charge(kFlood, limits::turn_quantum);
  CHECK(queue.pop().first == kThird);
  queue.charge(kThird, limits::turn_quantum);
  CHECK(queue.pop().first == kFlood);
  push(queue, kOther, 1);
  CHECK(queue.pop().first == kOther);
}

TEST_CASE("an account that is always new gives way to the old ones once in a while") {
  FairQueue queue;
  push(queue, kFlood, 3);
  std::string order;
  for (int i = 0; i < 6; ++i) {
    if (i < 3) push(queue, kOther, 1);
    const Share share = queue.pop().first;
    order += static_cast<char>('0' + share);
    queue.charge(share, limits::turn_quantum);
  }
  CHECK(order.substr(0, 4).find("11") == std::string::npos);
  CHECK(order.substr(0, 4).find("222") == std::string::npos);
}

TEST_CASE("nobody else waits while one account alone has work") {
  FairQueue queue;
  push(queue, kFlood, 2);
  queue.pop();
  CHECK(!queue.contested(kFlood));
  push(queue, kOther, 1);
  CHECK(queue.contested(kFlood));
  while (!queue.empty()) queue.pop();
  push(queue, kFlood, 1);
  queue.pop();
  CHECK(!queue.contested(kFlood));
}

TEST_CASE("addresses spread over the accounts, and none gets the worker's own") {
  std::set<Share> seen;
  for (int i = 0; i < 250; ++i) {
    seen.insert(share_of(*Ip::parse("10.244.1." + std::to_string(i))));
    seen.insert(share_of(*Ip::parse("fd00:10:244::" + std::to_string(i))));
  }
  CHECK(seen.size() > 300);  // of 500 into 1023: 395 expected
  CHECK(!seen.contains(kOwnShare));
  CHECK(*seen.rbegin() < 1024);
}

Task<void> work(Driver& driver, Clock::duration time, int& done) {
  co_await Yield{driver};
  for (const TimePoint end = Clock::now() + time; Clock::now() < end;) continue;
  ++done;
}

Task<void> look(Driver& driver, const int& done, int& seen) {
  co_await Yield{driver};
  seen = done;
}

FOR_EVERY_KERNEL_DRIVER("lets a pod with much to do hold up itself and no other") {
  TestType world;
  Driver& driver = world.driver();
  Scope flood(driver), other(driver);
  flood.set_share(kFlood);
  other.set_share(kOther);
  int done = 0, seen = -1;
  constexpr int kMany = 400;
  for (int i = 0; i < kMany; ++i) flood.spawn(work(driver, 20us, done));
  other.spawn(look(driver, done, seen));
  driver.turn(driver.now());
  CHECK(seen >= 0);
  CHECK(seen <= 1 + limits::turn_quantum / 20us);
  CHECK(done <= 8 + limits::turn_max / 20us);  // and the kernel is asked again while there is work left
  run_until_empty(flood);
  CHECK(done == kMany);
}

FOR_EVERY_KERNEL_DRIVER("asks the kernel while a pod has much to do") {
  TestType world;
  Driver& driver = world.driver();
  Acceptor acceptor(driver, world.listen());
  Scope flood(driver), other(driver);
  flood.set_share(kFlood);
  other.set_share(kOther);
  int done = 0;
  constexpr int kMany = 400;
  for (int i = 0; i < kMany; ++i) flood.spawn(work(driver, 50us, done));
  int seen = -1;
  auto connect = [](Driver& on, SocketAddress to, const int& count, int& out) -> Task<void> {
    Result<int> fd = on.open_socket({});
    REQUIRE(fd);
    Socket socket(on, *fd);
    const Status connected = co_await socket.connect(to, on.now() + 10s);
    CHECK(connected);
    out = count;
  };
  other.spawn(connect(driver, *driver.local_address(acceptor.fd()), done, seen));
  run_until_empty(other);
  CHECK(seen < kMany / 2);  // the connect was submitted and told while the flood was being worked off
  run_until_empty(flood);
}

}  // namespace
}  // namespace weir::io

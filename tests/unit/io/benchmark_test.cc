// What a kernel's driver costs: CPU of this thread, kernel included, for 1 KiB there and back over loopback, both
// ends on one driver. Hidden: run with the tag [.benchmark], in a release build, on a quiet machine.
#include <time.h>

#include "tests/unit/io/worlds.h"

namespace weir::io {
namespace {

constexpr size_t kMessageBytes = 1024;

double cpu_us() {
  timespec time{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) * 1e6 + static_cast<double>(time.tv_nsec) / 1e3;
}

Task<void> take_one(Acceptor& acceptor, Socket& out) { out = co_await acceptor.next(); }
Task<void> connect_one(Socket& socket, SocketAddress to) {
  const Status connected = co_await socket.connect(to, kNever);
  CHECK(connected.has_value());
}

// Receives a message and sends it on, `rounds` times; the client's side starts.
Task<void> play(Socket& socket, bool starts, int rounds) {
  std::array<std::byte, kMessageBytes> message{};
  for (int i = 0; i < rounds; ++i) {
    if (starts) {
      const Status sent = co_await socket.send(message);
      if (!sent) co_return;
    }
    for (size_t got = 0; got < kMessageBytes;) {
      const Result<Buffer> part = co_await socket.receive(ReceiveSize::small);
      if (!part || part->empty()) co_return;
      got += part->size();
    }
    if (!starts) {
      const Status sent = co_await socket.send(message);
      if (!sent) co_return;
    }
  }
}

}  // namespace

TEMPLATE_TEST_CASE("CPU of a round trip", "[.benchmark]", UringWorld, EpollWorld) {
  for (const size_t count : {size_t{1}, size_t{32}}) {
    TestType world;
    Driver& driver = world.driver();
    Acceptor acceptor(driver, world.listen());
    std::vector<Socket> clients(count), servers(count);
    Scope scope(driver);
    for (size_t i = 0; i < count; ++i) {
      clients[i] = Socket(driver, driver.open_socket({}).value());
      scope.spawn(connect_one(clients[i], *driver.local_address(acceptor.fd())));
      scope.spawn(take_one(acceptor, servers[i]));
      run_until_empty(scope);
    }
    const int rounds = static_cast<int>(100'000 / count);
    const double start_us = cpu_us();
    for (Socket& server : servers) scope.spawn(play(server, false, rounds));
    for (Socket& client : clients) scope.spawn(play(client, true, rounds));
    run_until_empty(scope, std::chrono::minutes(2));
    const double us = (cpu_us() - start_us) / (static_cast<double>(rounds) * static_cast<double>(count));
    WARN(driver.name() << ", " << count << " connections: " << us
                       << " µs of CPU per round trip, both ends together");
  }
}

}  // namespace weir::io

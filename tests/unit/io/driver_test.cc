// What every driver must do, over sockets of its own at both ends: one suite, each driver.
#include <thread>

#include "tests/unit/io/pattern.h"
#include "tests/unit/io/worlds.h"

namespace weir::io {
namespace {

using namespace std::chrono_literals;

Task<Socket> connect_to(Driver& driver, SocketAddress to, SocketSpec spec = {}) {
  Result<int> fd = driver.open_socket(spec);
  if (!fd) co_return Socket();
  Socket socket(driver, *fd);
  if (!co_await socket.connect(to, driver.now() + 10s)) co_return Socket();
  co_return socket;
}

// A connection for a test to play with: both ends, once both are there.
struct Pair {
  Socket client, server;
};

Task<void> make_client(Driver& driver, SocketAddress to, SocketSpec spec, Socket& out) {
  out = co_await connect_to(driver, to, spec);
}
Task<void> make_server(Acceptor& acceptor, Socket& out) { out = co_await acceptor.next(); }

Pair make_pair(Acceptor& acceptor, SocketSpec client_spec = {}) {
  Driver& driver = acceptor.driver();
  Pair pair;
  Scope scope(driver);
  scope.spawn(make_server(acceptor, pair.server));
  scope.spawn(make_client(driver, *driver.local_address(acceptor.fd()), client_spec, pair.client));
  run_until_empty(scope);
  REQUIRE(pair.client);
  REQUIRE(pair.server);
  return pair;
}

// How a receive ended: bytes ("…"), "FIN", or the reason's label and errno.
struct Seen {
  std::string text = "nothing yet";
  Error error = {};
};

Task<void> receive_once(Socket& socket, TimePoint deadline, Seen& seen) {
  Result<Buffer> got = co_await socket.receive(ReceiveSize::small, deadline);
  seen.text = !got ? std::string(label(got.error().reason)) : got->empty() ? "FIN" : to_text(*got);
  if (!got) seen.error = got.error();
}

Task<void> receive_to_end(Socket& socket, Seen& seen) {
  do {
    co_await receive_once(socket, kNever, seen);
  } while (seen.text != "FIN" && seen.error.reason == Error{}.reason);
}

Task<void> send_all(Socket& socket, std::string bytes, TimePoint deadline, Status& status) {
  status = co_await socket.send(as_bytes(bytes), deadline);
}

// Sends back what comes until FIN, then ends its own side.
Task<void> echo(Acceptor& acceptor, int& served) {
  Socket socket = co_await acceptor.next();
  for (;;) {
    Result<Buffer> got = co_await socket.receive(ReceiveSize::small);
    if (!got) co_return;
    if (got->empty()) break;
    if (!co_await socket.send(got->bytes())) co_return;
  }
  ++served;
}

Task<void> say(Socket& socket, std::string_view text) {
  const Status sent = co_await socket.send(as_bytes(text));  // a variable first: see "gcc 12" in task.h
  if (sent) socket.shutdown_write();
}

Task<void> hear(Socket& socket, std::string& heard) {
  for (;;) {
    Result<Buffer> got = co_await socket.receive(ReceiveSize::large);
    if (!got || got->empty()) co_return;
    heard += to_text(*got);
  }
}

// At once: an echo server with little room stops reading when nobody takes its answer.
Task<void> ask(Driver& driver, SocketAddress to, std::string text, int& answered) {
  Socket socket = co_await connect_to(driver, to);
  if (!socket) co_return;
  std::string heard;
  co_await both(say(socket, text), hear(socket, heard));
  if (heard == text) ++answered;
}

}  // namespace

FOR_EVERY_DRIVER("carries bytes both ways and a half-close in each direction") {
  TestType world;
  Acceptor acceptor(world.driver(), world.listen());
  Pair pair = make_pair(acceptor);
  Scope scope(world.driver());
  uint64_t there = 0, back = 0;
  Status sent_there, sent_back;
  scope.spawn(receive_pattern(pair.server, 1, ReceiveSize::small, there));
  scope.spawn(send_pattern(pair.client, 1, 10'000, sent_there));
  run_until_empty(scope);
  CHECK(there == 10'000);
  // The other direction still stands after the FIN of this one.
  scope.spawn(receive_pattern(pair.client, 2, ReceiveSize::large, back));
  scope.spawn(send_pattern(pair.server, 2, 20'000, sent_back));
  run_until_empty(scope);
  CHECK(back == 20'000);
  CHECK((sent_there.has_value() && sent_back.has_value()));
}

FOR_EVERY_DRIVER("moves megabytes in both directions at once without losing or changing a byte") {
  TestType world;
  Acceptor acceptor(world.driver(), world.listen());
  Pair pair = make_pair(acceptor);
  Scope scope(world.driver());
  constexpr size_t kTotal = 3'000'000;
  uint64_t there = 0, back = 0;
  Status sent_there, sent_back;
  scope.spawn(send_pattern(pair.client, 3, kTotal, sent_there));
  scope.spawn(send_pattern(pair.server, 4, kTotal, sent_back));
  scope.spawn(receive_pattern(pair.server, 3, ReceiveSize::large, there));
  scope.spawn(receive_pattern(pair.client, 4, ReceiveSize::small, back));
  run_until_empty(scope, 120s);
  CHECK(there == kTotal);
  CHECK(back == kTotal);
}

FOR_EVERY_DRIVER("accepts many connections with one operation and serves them side by side") {
  TestType world;
  Driver& driver = world.driver();
  Acceptor acceptor(driver, world.listen());
  const SocketAddress to = *driver.local_address(acceptor.fd());
  Scope clients(driver), servers(driver);
  constexpr int kConnections = 100;
  int served = 0, answered = 0;
  for (int i = 0; i < kConnections; ++i) {
    clients.spawn(ask(
        driver, to, std::string(1 + static_cast<size_t>(i) * 37, static_cast<char>('a' + i % 26)), answered));
  }
  const TimePoint limit = driver.now() + 120s;
  while (!clients.empty() && driver.now() < limit) {
    if (servers.empty() && served < kConnections) servers.spawn(echo(acceptor, served));
    driver.turn(driver.now() + 100ms);
  }
  REQUIRE(clients.empty());
  run_until_empty(servers);
  CHECK((answered == kConnections && served == kConnections));
  CHECK(acceptor.completions >= kConnections);
}

FOR_EVERY_DRIVER("keeps a reset apart from an orderly end") {
  TestType world;
  Acceptor acceptor(world.driver(), world.listen());
  const bool reset = GENERATE(true, false);
  Pair pair = make_pair(acceptor, {.reset_on_close = reset});
  Scope scope(world.driver());
  Seen seen;
  scope.spawn(receive_once(pair.server, kNever, seen));
  pair.client.close();
  run_until_empty(scope);
  if (reset) {
    CHECK(seen.error.os_code == ECONNRESET);
  } else {
    CHECK(seen.text == "FIN");
  }
}

FOR_EVERY_DRIVER("lets what was received before a reset be read, and then says reset") {
  TestType world;
  Acceptor acceptor(world.driver(), world.listen());
  Pair pair = make_pair(acceptor);
  Scope scope(world.driver());
  Status sent;
  Seen first, last;
  scope.spawn(send_all(pair.client, "last words", kNever, sent));
  scope.spawn(receive_once(pair.server, kNever, first));
  run_until_empty(scope);
  CHECK(first.text == std::string("last words").substr(0, first.text.size()));
  pair.client.set_reset_on_close(true);
  pair.client.close();
  scope.spawn(receive_to_end(pair.server, last));
  run_until_empty(scope);
  CHECK(last.error.os_code == ECONNRESET);
}

FOR_EVERY_DRIVER("says refused when nobody listens") {
  TestType world;
  Driver& driver = world.driver();
  const int fd = world.listen();
  const SocketAddress gone = *driver.local_address(fd);
  driver.close(fd);
  Socket socket(driver, *driver.open_socket({}));
  Scope scope(driver);
  Status status;
  scope.spawn([](Socket& from, SocketAddress to, Status& out) -> Task<void> {
    out = co_await from.connect(to, kNever);
  }(socket, gone, status));
  run_until_empty(scope);
  REQUIRE(!status.has_value());
  CHECK(status.error().reason == Reason::refused);
}

FOR_EVERY_DRIVER("ends a receive at its deadline, not before, and the socket goes on") {
  TestType world;
  Driver& driver = world.driver();
  Acceptor acceptor(driver, world.listen());
  Pair pair = make_pair(acceptor);
  Scope scope(driver);
  Seen seen;
  const TimePoint start = driver.now();
  scope.spawn(receive_once(pair.server, start + 30ms, seen));
  run_until_empty(scope);
  CHECK(seen.text == "detect_timeout");
  CHECK(driver.now() - start >= 30ms);
  CHECK(driver.now() - start < 2s);
  Status sent;
  scope.spawn(receive_once(pair.server, driver.now() + 5s, seen));
  scope.spawn(send_all(pair.client, "x", kNever, sent));
  run_until_empty(scope);
  CHECK(seen.text == "x");
}

FOR_EVERY_DRIVER("ends every wait below a cancelled scope, and every later one at once") {
  TestType world;
  Driver& driver = world.driver();
  Acceptor acceptor(driver, world.listen());
  Pair pair = make_pair(acceptor);
  Scope scope(driver);
  Seen a, b, after;
  scope.spawn(receive_once(pair.server, driver.now() + 10s, a));
  scope.spawn(receive_once(pair.client, kNever, b));
  driver.turn(driver.now());
  scope.cancel();
  scope.cancel();
  CHECK(!scope.empty());  // the kernel still has them
  run_until_empty(scope);
  CHECK(a.error.reason == Reason::cancelled);
  CHECK(b.error.reason == Reason::cancelled);
  scope.spawn(receive_once(pair.client, kNever, after));
  CHECK(scope.empty());
  CHECK(after.error.reason == Reason::cancelled);
}

FOR_EVERY_DRIVER("cancels what it has not submitted yet") {
  TestType world;
  Acceptor acceptor(world.driver(), world.listen());
  Pair pair = make_pair(acceptor);
  Scope scope(world.driver());
  Seen seen;
  scope.spawn(receive_once(pair.server, kNever, seen));
  scope.cancel();
  run_until_empty(scope);
  CHECK(seen.error.reason == Reason::cancelled);
}

FOR_EVERY_DRIVER("holds a sender back while nobody reads, and lets it go at the deadline or by cancel") {
  TestType world;
  Driver& driver = world.driver();
  Acceptor acceptor(driver, world.listen());
  Pair pair = make_pair(acceptor);
  Scope scope(driver);
  const bool by_deadline = GENERATE(true, false);
  Status status;
  scope.spawn(send_all(pair.client, std::string(16 * 1024 * 1024, 'x'),
                       by_deadline ? driver.now() + 100ms : kNever, status));
  const TimePoint soon = driver.now() + 50ms;
  while (driver.now() < soon) driver.turn(soon);
  CHECK(!scope.empty());
  if (!by_deadline) scope.cancel();
  run_until_empty(scope);
  REQUIRE(!status.has_value());
  CHECK(status.error().reason == (by_deadline ? Reason::connect_timeout : Reason::cancelled));
}

FOR_EVERY_DRIVER("goes on sending when the reader comes back") {
  TestType world;
  Driver& driver = world.driver();
  Acceptor acceptor(driver, world.listen());
  Pair pair = make_pair(acceptor);
  Scope scope(driver);
  Status sent;
  uint64_t right = 0;
  constexpr size_t kTotal = 9'000'000;
  scope.spawn(send_pattern(pair.client, 5, kTotal, sent));
  const TimePoint soon = driver.now() + 30ms;
  while (driver.now() < soon) driver.turn(soon);
  CHECK(!scope.empty());
  scope.spawn(receive_pattern(pair.server, 5, ReceiveSize::large, right));
  run_until_empty(scope, 120s);
  CHECK(right == kTotal);
}

FOR_EVERY_DRIVER("connects from the address it was told to, and both ends agree on the names") {
  TestType world;
  Driver& driver = world.driver();
  Acceptor acceptor(driver, world.listen());
  const SocketAddress from{*Ip::parse("127.0.0.9"), 0};
  Pair pair = make_pair(acceptor, {.bind = from});
  const SocketAddress local = *driver.local_address(pair.client.fd());
  CHECK(local.ip == from.ip);
  CHECK(local.port != 0);
  CHECK(*driver.peer_address(pair.server.fd()) == local);
  CHECK(*driver.peer_address(pair.client.fd()) == *driver.local_address(acceptor.fd()));
  CHECK(*driver.local_address(pair.server.fd()) == *driver.local_address(acceptor.fd()));
}

FOR_EVERY_DRIVER("fires its timers in order and in time") {
  TestType world;
  Driver& driver = world.driver();
  struct Alarm final : Timer {
    void fire() override { order->push_back(id); }
    std::vector<int>* order = nullptr;
    int id = 0;
  };
  std::vector<int> order;
  Alarm alarms[3];
  const TimePoint start = driver.now();
  for (int i : {2, 0, 1}) {
    alarms[i].order = &order;
    alarms[i].id = i;
    driver.timers().arm(alarms[i], start + i * 5ms);
  }
  while (order.size() < 3) driver.turn(start + 10s);
  CHECK(order == std::vector{0, 1, 2});
  CHECK(driver.now() - start >= 10ms);
}

FOR_EVERY_DRIVER("is woken from outside") {
  TestType world;
  Driver& driver = world.driver();
  for (int i = 0; i < 3; ++i) {
    std::thread other([&driver] { driver.wake(); });
    other.join();
    const TimePoint start = Clock::now();
    driver.turn(driver.now() + 20s);
    CHECK(Clock::now() - start < 10s);
  }
}

FOR_EVERY_DRIVER("says when a descriptor is readable, once") {
  TestType world;
  Driver& driver = world.driver();
  Acceptor acceptor(driver, world.listen());
  Pair pair = make_pair(acceptor);
  struct Readable final : Op {
    void complete(int32_t r, Buffer, bool more) override {
      result = r;
      CHECK(!more);
    }
    int32_t result = INT32_MIN;
  } readable;
  driver.wait_readable(readable, pair.server.fd());
  driver.turn(driver.now() + 5ms);
  CHECK(readable.result == INT32_MIN);
  Scope scope(driver);
  Status sent;
  scope.spawn(send_all(pair.client, "x", kNever, sent));
  for (int i = 0; i < 100 && readable.in_flight(); ++i) driver.turn(driver.now() + 100ms);
  CHECK(readable.result > 0);
  run_until_empty(scope);
}

}  // namespace weir::io

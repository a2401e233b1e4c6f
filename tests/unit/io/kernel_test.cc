// What every driver on a real kernel has to answer for: buffers, descriptors, socket options, namespaces.
#include <fcntl.h>
#include <linux/tcp.h>  // its tcp_info has segs_out, netinet's does not
#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include <fstream>
#include <thread>

#include "nodeproxy/base/limits.h"
#include "tests/unit/io/connections.h"

namespace weir::io {
namespace {

using namespace std::chrono_literals;

template <typename World>
typename World::Options options(uint32_t small_buffers, uint32_t large_buffers) {
  typename World::Options out;
  out.small_buffers = small_buffers;
  out.large_buffers = large_buffers;
  return out;
}

int option(int fd, int level, int name) {
  int value = -1;
  socklen_t length = sizeof value;
  CHECK(::getsockopt(fd, level, name, &value, &length) == 0);
  return value;
}

}  // namespace

FOR_EVERY_KERNEL_DRIVER("lets a receive that finds no buffer wait for one, and nothing is lost") {
  TestType world(options<TestType>(4, 1));
  Acceptor acceptor(world.driver(), world.listen());
  constexpr size_t kCount = 20;
  Connections connections(acceptor, kCount);
  Scope scope(world.driver());
  std::vector<Signal> releases(kCount);
  std::vector<size_t> got(kCount);
  for (size_t i = 0; i < kCount; ++i) {
    scope.spawn(hoard(connections.servers[i], ReceiveSize::small, 5, releases[i], got[i]));
    scope.spawn(say(connections.clients[i], "hello"));
  }
  for (int i = 0; i < 30; ++i) world.driver().turn(world.driver().now() + 2ms);
  // Five buffers in all, each held: the others wait.
  const auto served = [&] { return std::count(got.begin(), got.end(), 5u); };
  CHECK(served() == 5);
  for (int round = 0; round < 20 && served() != kCount; ++round) {
    for (size_t i = 0; i < kCount; ++i) {
      if (got[i] == 5) releases[i].notify();
    }
    for (int i = 0; i < 10; ++i) world.driver().turn(world.driver().now() + 2ms);
  }
  CHECK(served() == kCount);
  for (Signal& release : releases) release.notify();
  run_until_empty(scope);
}

FOR_EVERY_KERNEL_DRIVER("cancels a receive that waits for a buffer") {
  TestType world(options<TestType>(1, 1));
  Acceptor acceptor(world.driver(), world.listen());
  Connections connections(acceptor, 4);
  Scope hoarders(world.driver()), starving(world.driver());
  Signal releases[4];
  size_t got[4] = {};
  for (size_t i = 0; i < 4; ++i) {
    Scope& scope = i < 2 ? hoarders : starving;
    scope.spawn(hoard(connections.servers[i], ReceiveSize::small, 5, releases[i], got[i]));
    scope.spawn(say(connections.clients[i], "hello"));
    for (int turn = 0; turn < 10; ++turn) world.driver().turn(world.driver().now() + 2ms);
  }
  CHECK(got[0] + got[1] == 10);
  CHECK(got[2] + got[3] == 0);
  starving.cancel();
  run_until_empty(starving);
  hoarders.cancel();
  run_until_empty(hoarders);
}

FOR_EVERY_KERNEL_DRIVER("ends an accept that runs out of descriptors with EMFILE, and starts it again") {
  TestType world;
  Acceptor acceptor(world.driver(), world.listen());
  Driver& driver = world.driver();
  Scope scope(driver);
  Socket client(driver, driver.open_socket({}).value()), server;
  rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &before) == 0);
  const int highest = ::fcntl(client.fd(), F_DUPFD_CLOEXEC, 0);
  ::close(highest);
  const rlimit tight{.rlim_cur = static_cast<rlim_t>(highest), .rlim_max = before.rlim_max};
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &tight) == 0);
  Status status;
  scope.spawn(connect_one(client, *driver.local_address(acceptor.fd()), status));
  for (int i = 0; i < 100 && acceptor.last_error == 0; ++i) driver.turn(driver.now() + 1ms);
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &before) == 0);
  CHECK(acceptor.last_error == -EMFILE);
  run_until_empty(scope);
  // io_uring drops that connection, accept4(2) keeps it; either way somebody is accepted next.
  Socket second(driver, driver.open_socket({}).value());
  scope.spawn(connect_one(second, *driver.local_address(acceptor.fd()), status));
  scope.spawn(take_one(acceptor, server));
  run_until_empty(scope);
  CHECK(server);
}

FOR_EVERY_KERNEL_DRIVER("commits buffers as they are used, not when it is opened") {
  const auto resident_kib = [] {
    std::ifstream file("/proc/self/status");
    for (std::string line; std::getline(file, line);) {
      if (line.starts_with("VmRSS:")) return std::stol(line.substr(6));
    }
    return 0L;
  };
  const long before = resident_kib();
  TestType world(typename TestType::Options{});  // 320 MiB of them
  CHECK(resident_kib() - before < 64 * 1024);    // AddressSanitizer's shadow of it is 24 MiB
}

FOR_EVERY_KERNEL_DRIVER(
    "makes sockets with every option asked for, and always TCP_NODELAY and close-on-exec") {
  if (::geteuid() != 0) {
    WARN("needs root for SO_MARK and IP_TRANSPARENT");
    return;
  }
  TestType world;
  const bool v6 = GENERATE(false, true);
  SocketSpec spec;
  spec.bind = {*Ip::parse(v6 ? "2001:db8::7" : "192.0.2.7"),
               20'007};  // nobody's address: only transparent binds it
  spec.transparent = true;
  spec.mark = 0x20000000;
  spec.reset_on_close = true;
  spec.user_timeout_ms = 20'000;
  spec.notsent_lowat_bytes = 131'072;
  const Result<int> made = world.driver().open_socket(spec);
  REQUIRE(made.has_value());
  Socket socket(world.driver(), *made);
  CHECK(*world.driver().local_address(socket.fd()) == spec.bind);
  CHECK(option(socket.fd(), SOL_SOCKET, SO_DOMAIN) == (v6 ? AF_INET6 : AF_INET));
  CHECK(option(socket.fd(), SOL_SOCKET, SO_MARK) == 0x20000000);
  CHECK(option(socket.fd(), SOL_SOCKET, SO_KEEPALIVE) == 1);
  CHECK(option(socket.fd(), IPPROTO_TCP, TCP_NODELAY) == 1);
  CHECK(option(socket.fd(), IPPROTO_TCP, TCP_USER_TIMEOUT) == 20'000);
  CHECK(option(socket.fd(), IPPROTO_TCP, TCP_NOTSENT_LOWAT) == 131'072);
  CHECK((::fcntl(socket.fd(), F_GETFD) & FD_CLOEXEC) != 0);
  linger value{};
  socklen_t length = sizeof value;
  REQUIRE(::getsockopt(socket.fd(), SOL_SOCKET, SO_LINGER, &value, &length) == 0);
  CHECK(value.l_onoff == 1);
  CHECK(value.l_linger == 0);
}

Task<void> say_and_finish(Socket& socket, std::string text) {
  const Status sent = co_await socket.send(as_bytes(text), kNever, true);
  CHECK(sent.has_value());
  socket.shutdown_write();
}

FOR_EVERY_KERNEL_DRIVER("sends the last bytes in one segment with FIN") {
  TestType world;
  Acceptor acceptor(world.driver(), world.listen());
  Connections connections(acceptor, 1);
  Socket& server = connections.servers[0];
  const auto segments = [&] {
    tcp_info info{};
    socklen_t length = sizeof(info);
    REQUIRE(::getsockopt(server.fd(), IPPROTO_TCP, TCP_INFO, &info, &length) == 0);
    return info.tcpi_segs_out;
  };
  const auto before = segments();
  Scope scope(world.driver());
  scope.spawn(say_and_finish(server, "the end"));
  run_until_empty(scope);
  CHECK(segments() == before + 1);
}

Task<void> read_and_drop(Socket& socket, size_t bytes) {
  for (size_t got = 0; got < bytes;) {
    const Result<Buffer> part = co_await socket.receive(ReceiveSize::large);
    REQUIRE((part && !part->empty()));
    got += part->size();
  }
}

FOR_EVERY_KERNEL_DRIVER("knows whether the peer's kernel has yet to take what was sent") {
  TestType world;
  Acceptor acceptor(world.driver(), world.listen());
  Connections connections(acceptor, 1);
  Socket& server = connections.servers[0];
  CHECK(!server.undelivered());
  const size_t bytes = 32 << 20;  // more than the buffers of both kernels ever hold
  Scope scope(world.driver());
  scope.spawn(say(server, std::string(bytes, 'x')));
  for (int i = 0; i < 50; ++i) world.driver().turn(world.driver().now() + 1ms);
  CHECK(server.undelivered());
  scope.spawn(read_and_drop(connections.clients[0], bytes));
  run_until_empty(scope);
  // The last ACK may be delayed.
  for (int i = 0; i < 1000 && server.undelivered(); ++i) world.driver().turn(world.driver().now() + 1ms);
  CHECK(!server.undelivered());
}

FOR_EVERY_KERNEL_DRIVER("tells an accepted socket to give up on a dead peer") {
  TestType world;
  Acceptor acceptor(world.driver(), world.listen());
  Connections connections(acceptor, 1);
  Socket& accepted = connections.servers[0];
  CHECK(option(accepted.fd(), SOL_SOCKET, SO_KEEPALIVE) == 0);
  accepted.set_user_timeout(20'000);
  CHECK(option(accepted.fd(), SOL_SOCKET, SO_KEEPALIVE) == 1);
  CHECK(option(accepted.fd(), IPPROTO_TCP, TCP_KEEPIDLE) == 5);
  CHECK(option(accepted.fd(), IPPROTO_TCP, TCP_KEEPINTVL) == 5);
  CHECK(option(accepted.fd(), IPPROTO_TCP, TCP_USER_TIMEOUT) == 20'000);
}

FOR_EVERY_KERNEL_DRIVER(
    "probes what a listener with keepalive accepts, and keeps a peer that only does not read") {
  TestType world;
  const int listener = world.listen();
  world.driver().set_keepalive(listener);
  Acceptor acceptor(world.driver(), listener);
  Connections connections(acceptor, 1);
  Socket dialled(world.driver(), world.driver().open_socket({.keepalive = true}).value());
  for (const int fd : {connections.servers[0].fd(), dialled.fd()}) {
    CHECK(option(fd, SOL_SOCKET, SO_KEEPALIVE) == 1);
    CHECK(option(fd, IPPROTO_TCP, TCP_KEEPIDLE) == limits::keepalive_idle_s);
    CHECK(option(fd, IPPROTO_TCP, TCP_KEEPINTVL) == limits::keepalive_interval_s);
    CHECK(option(fd, IPPROTO_TCP, TCP_KEEPCNT) == limits::keepalive_probes);
    CHECK(option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT) ==
          0);  // it would end a live peer that has stopped reading
  }
}

FOR_EVERY_KERNEL_DRIVER("makes a socket in the namespace it was asked for, and comes back to its own") {
  if (::geteuid() != 0) {
    WARN("needs root for setns");
    return;
  }
  int other = -1;
  std::thread maker([&other] {
    if (::unshare(CLONE_NEWNET) == 0) other = ::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
  });
  maker.join();
  REQUIRE(other >= 0);
  const Fd netns(other);
  TestType world;
  constexpr int kCookie = 71;  // SO_NETNS_COOKIE
  const auto cookie = [](int fd) {
    uint64_t value = 0;
    socklen_t length = sizeof value;
    CHECK(::getsockopt(fd, SOL_SOCKET, kCookie, &value, &length) == 0);
    return value;
  };
  Socket before(world.driver(), world.driver().open_socket({}).value());
  Socket inside(world.driver(), world.driver().open_socket({.netns_fd = netns.get()}).value());
  Socket after(world.driver(), world.driver().open_socket({}).value());
  CHECK(cookie(before.fd()) == cookie(after.fd()));
  CHECK(cookie(inside.fd()) != cookie(before.fd()));
}

}  // namespace weir::io

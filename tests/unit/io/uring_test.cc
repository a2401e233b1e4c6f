// What only the io_uring driver has to answer for: the kernel below it.
#include "nodeproxy/io/uring.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/tcp.h>  // its tcp_info has segs_out, netinet's does not
#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <fstream>
#include <thread>

#include "nodeproxy/base/limits.h"
#include "tests/unit/io/worlds.h"

namespace weir::io {
namespace {

using namespace std::chrono_literals;

Task<void> take_one(Acceptor& acceptor, Socket& out) { out = co_await acceptor.next(); }
Task<void> connect_one(Socket& socket, SocketAddress to, Status& status) {
  status = co_await socket.connect(to, kNever);
}

// Takes `bytes` bytes and keeps every buffer until told, so that none comes back meanwhile.
Task<void> hoard(Socket& socket, ReceiveSize size, size_t bytes, Signal& release, size_t& got_bytes) {
  std::vector<Buffer> hoarded;
  for (size_t left = bytes; left > 0;) {
    Result<Buffer> got = co_await socket.receive(size);
    if (!got || got->empty()) co_return;
    got_bytes += got->size();
    left -= std::min(left, got->size());
    hoarded.push_back(std::move(*got));
  }
  const Status released = co_await release.wait();
  (void)released;
}

Task<void> say(Socket& socket, std::string text) {
  const Status sent = co_await socket.send(as_bytes(text));
  CHECK(sent.has_value());
}

int count_threads_named(std::string_view part) {
  int count = 0;
  DIR* tasks = ::opendir("/proc/self/task");
  while (const dirent* entry = ::readdir(tasks)) {
    std::ifstream file(std::string("/proc/self/task/") + entry->d_name + "/comm");
    std::string name;
    std::getline(file, name);
    if (name.find(part) != std::string::npos) ++count;
  }
  ::closedir(tasks);
  return count;
}

// Completions that the kernel keeps because the ring is full: fdinfo of io_uring lists them one a line. The first ring
// of the process: that of the test's one driver.
int overflowed_completions() {
  for (int fd = 0; fd < 1024; ++fd) {
    std::array<char, 64> target{};
    if (::readlink(("/proc/self/fd/" + std::to_string(fd)).c_str(), target.data(), target.size() - 1) < 0)
      continue;
    if (std::string_view(target.data()) != "anon_inode:[io_uring]") continue;
    std::ifstream file("/proc/self/fdinfo/" + std::to_string(fd));
    int count = -1;  // no such list: the kernel does not tell
    for (std::string line; std::getline(file, line);) {
      if (line.starts_with("CqOverflowList:")) {
        count = 0;
      } else if (count >= 0 && line.find("user_data=") != std::string::npos) {
        ++count;
      }
    }
    return count;
  }
  return -1;
}

int option(int fd, int level, int name) {
  int value = -1;
  socklen_t length = sizeof value;
  CHECK(::getsockopt(fd, level, name, &value, &length) == 0);
  return value;
}

struct Connections {
  std::vector<Socket> clients, servers;
  Connections(Acceptor& acceptor, size_t count) : clients(count), servers(count) {
    Driver& driver = acceptor.driver();
    Scope scope(driver);
    for (size_t i = 0; i < count; ++i) {
      Status status;
      clients[i] = Socket(driver, driver.open_socket({}).value());
      scope.spawn(connect_one(clients[i], *driver.local_address(acceptor.fd()), status));
      scope.spawn(take_one(acceptor, servers[i]));
      run_until_empty(scope);
      REQUIRE(status.has_value());
    }
  }
};

}  // namespace

TEST_CASE("a receive that finds no buffer waits for one, and nothing is lost") {
  UringWorld world({.entries = 64, .small_buffers = 4, .large_buffers = 1});
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

TEST_CASE("a receive that waits for a buffer can be cancelled") {
  UringWorld world({.entries = 64, .small_buffers = 1, .large_buffers = 1});
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

TEST_CASE("more completions at once than the ring holds: none is lost, none comes twice") {
  UringWorld world({.entries = 4, .small_buffers = 512, .large_buffers = 1});  // 32 completions
  Driver& driver = world.driver();
  Acceptor acceptor(driver, world.listen());
  constexpr size_t kCount = 200;
  Connections connections(acceptor, kCount);
  struct Recorder final : Op {
    std::vector<int32_t> results;
    std::string text;
    void complete(int32_t result, Buffer buffer, bool) override {
      results.push_back(result);
      text += to_text(buffer);
    }
  };
  std::deque<Recorder> sends(kCount), receives(kCount), cancelled(kCount);
  std::vector<std::string> texts;
  for (size_t i = 0; i < kCount; ++i) texts.push_back("message " + std::to_string(i));
  REQUIRE(overflowed_completions() == 0);
  for (size_t i = 0; i < kCount; ++i) {
    driver.receive(receives[i], connections.servers[i].fd(), ReceiveSize::small, false);
    driver.receive(cancelled[i], connections.clients[i].fd(), ReceiveSize::small, true);
  }
  // Without a turn in between nobody takes what has completed: sends do at once, cancels too.
  for (size_t i = 0; i < kCount; ++i) {
    driver.send(sends[i], connections.clients[i].fd(), as_bytes(texts[i]), false);
    driver.cancel(cancelled[i]);
  }
  CHECK(overflowed_completions() > 100);
  for (int i = 0; i < 100; ++i) driver.turn(driver.now() + 1ms);
  for (size_t i = 0; i < kCount; ++i) {
    const auto bytes = static_cast<int32_t>(texts[i].size());
    CHECK(sends[i].results == std::vector{bytes});
    CHECK(receives[i].results == std::vector{bytes});
    CHECK(receives[i].text == texts[i]);
    CHECK(cancelled[i].results == std::vector{-ECANCELED});
  }
  CHECK(overflowed_completions() == 0);
}

TEST_CASE("running out of descriptors ends the accept with EMFILE, and it can be started again") {
  UringWorld world;
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
  // That connection is the kernel's to drop; the next one is accepted.
  Socket second(driver, driver.open_socket({}).value());
  scope.spawn(connect_one(second, *driver.local_address(acceptor.fd()), status));
  scope.spawn(take_one(acceptor, server));
  run_until_empty(scope);
  CHECK(server);
}

TEST_CASE("no kernel worker thread is ever born, so none can keep a pod's namespace") {
  UringWorld world;
  Acceptor acceptor(world.driver(), world.listen());
  Connections connections(acceptor, 20);
  Scope scope(world.driver());
  std::vector<Signal> releases(20);
  std::vector<size_t> got(20);
  for (size_t i = 0; i < 20; ++i) {
    scope.spawn(hoard(connections.servers[i], ReceiveSize::large, 500'000, releases[i], got[i]));
    scope.spawn(say(connections.clients[i], std::string(500'000, 'x')));
    releases[i].notify();
  }
  Socket nowhere(world.driver(), world.driver().open_socket({}).value());
  Status status;
  scope.spawn(connect_one(nowhere, {*Ip::parse("192.0.2.1"), 9}, status));  // answers late or never
  for (int i = 0; i < 50; ++i) world.driver().turn(world.driver().now() + 2ms);
  CHECK(count_threads_named("iou-wrk") == 0);
  scope.cancel();
  run_until_empty(scope);
  CHECK(count_threads_named("iou-wrk") == 0);
}

TEST_CASE("buffers are committed as they are used, not when the driver is opened") {
  const auto resident_kib = [] {
    std::ifstream file("/proc/self/status");
    for (std::string line; std::getline(file, line);) {
      if (line.starts_with("VmRSS:")) return std::stol(line.substr(6));
    }
    return 0L;
  };
  const long before = resident_kib();
  UringWorld world({.entries = 1024, .small_buffers = 16'384, .large_buffers = 2'048});  // 192 MiB
  CHECK(resident_kib() - before < 64 * 1024);  // AddressSanitizer's shadow of it is 24 MiB
}

TEST_CASE("a socket carries every option it was asked for, and always TCP_NODELAY and close-on-exec") {
  if (::geteuid() != 0) {
    WARN("needs root for SO_MARK and IP_TRANSPARENT");
    return;
  }
  UringWorld world;
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

TEST_CASE("the last bytes share their segment with FIN") {
  UringWorld world;
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

TEST_CASE("an accepted socket can be told to give up on a dead peer") {
  UringWorld world;
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

TEST_CASE("what a listener with keepalive accepts is probed, and a peer that only does not read is kept") {
  UringWorld world;
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

TEST_CASE("a socket is made in the namespace it was asked for, and the worker comes back to its own") {
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
  UringWorld world;
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

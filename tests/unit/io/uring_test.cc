// What only the io_uring driver has to answer for: its ring, and the threads that the kernel could make for it.
#include "nodeproxy/io/uring.h"

#include <dirent.h>
#include <unistd.h>

#include <array>
#include <fstream>

#include "tests/unit/io/connections.h"

namespace weir::io {
namespace {

using namespace std::chrono_literals;

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

Task<void> take_all(Acceptor& acceptor, std::vector<Socket>& out) {
  for (Socket& socket : out) socket = co_await acceptor.next();
}

}  // namespace

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

TEST_CASE("an accept goes on when its completions fill the ring, and no connection is lost") {
  UringWorld world({.entries = 4, .small_buffers = 64, .large_buffers = 1});
  Driver& driver = world.driver();
  constexpr size_t kCount = 300;
  Acceptor acceptor(driver, world.listen(kCount));
  driver.turn(driver.now());  // it waits in the kernel
  sockaddr_storage to{};
  const socklen_t length = driver.local_address(acceptor.fd())->to_sockaddr(to);
  std::vector<Fd> clients;
  for (size_t i = 0; i < kCount; ++i) {
    clients.emplace_back(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    REQUIRE(::connect(clients.back().get(), reinterpret_cast<const sockaddr*>(&to), length) == 0);
  }
  Scope scope(driver);
  std::vector<Socket> accepted(kCount);
  scope.spawn(take_all(acceptor, accepted));
  run_until_empty(scope);
  // Each is another client's.
  std::vector<uint16_t> ports, wanted;
  for (size_t i = 0; i < kCount; ++i) {
    REQUIRE(accepted[i]);
    ports.push_back(driver.peer_address(accepted[i].fd())->port);
    sockaddr_in mine{};
    socklen_t size = sizeof mine;
    REQUIRE(::getsockname(clients[i].get(), reinterpret_cast<sockaddr*>(&mine), &size) == 0);
    wanted.push_back(ntohs(mine.sin_port));
  }
  std::ranges::sort(ports);
  std::ranges::sort(wanted);
  CHECK(ports == wanted);
  CHECK(acceptor.ended > 0);  // as the kernel ends a multishot operation that finds the ring full
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

}  // namespace weir::io

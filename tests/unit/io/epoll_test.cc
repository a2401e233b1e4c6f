// What only the epoll driver has to answer for: edges, and what it concludes between them.
#include "nodeproxy/io/epoll.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <fstream>

#include "tests/unit/io/connections.h"

namespace weir::io {
namespace {

using namespace std::chrono_literals;

struct Recorder final : Op {
  std::vector<int32_t> results;
  std::string text;
  bool more = false;
  void complete(int32_t result, Buffer buffer, bool goes_on) override {
    results.push_back(result);
    text += to_text(buffer);
    more = goes_on;
  }
};

void turn_until(Driver& driver, const std::function<bool()>& done) {
  for (int i = 0; i < 200 && !done(); ++i) driver.turn(driver.now() + 20ms);
  REQUIRE(done());
}

// How many descriptors the process's one epoll instance watches: fdinfo lists them one a line.
int watched() {
  for (int fd = 0; fd < 1024; ++fd) {
    std::array<char, 64> target{};
    if (::readlink(("/proc/self/fd/" + std::to_string(fd)).c_str(), target.data(), target.size() - 1) < 0)
      continue;
    if (std::string_view(target.data()) != "anon_inode:[eventpoll]") continue;
    std::ifstream file("/proc/self/fdinfo/" + std::to_string(fd));
    int count = 0;
    for (std::string line; std::getline(file, line);) count += line.starts_with("tfd:");
    return count;
  }
  return -1;
}

// Receives into `heard` until it is `size` long.
void hear(Driver& driver, int fd, std::string& heard, size_t size) {
  while (heard.size() < size) {
    Recorder receive;
    driver.receive(receive, fd, ReceiveSize::small, true);
    turn_until(driver, [&] { return !receive.in_flight(); });
    REQUIRE(receive.results[0] > 0);
    heard += receive.text;
  }
}

}  // namespace

TEST_CASE("what comes after a short read is an edge, however close") {
  EpollWorld world;
  Driver& driver = world.driver();
  Acceptor acceptor(driver, world.listen());
  Connections connections(acceptor, 1);
  const int client = connections.clients[0].fd(), server = connections.servers[0].fd();
  std::string heard, said;
  for (int i = 0; i < 50; ++i) {
    said += "again ";
    REQUIRE(::send(client, "again ", 6, 0) == 6);
    hear(driver, server, heard, said.size());
  }
  CHECK(heard == said);
}

TEST_CASE("urgent data stops a read short, and the rest is read all the same") {
  EpollWorld world;
  Driver& driver = world.driver();
  Acceptor acceptor(driver, world.listen());
  Connections connections(acceptor, 1);
  const int client = connections.clients[0].fd(), server = connections.servers[0].fd();
  REQUIRE(::send(client, "before", 6, 0) == 6);
  REQUIRE(::send(client, "!", 1, MSG_OOB) == 1);
  REQUIRE(::send(client, "behind", 6, 0) == 6);
  std::string heard;
  hear(driver, server, heard, 12);
  CHECK(heard == "beforebehind");
}

TEST_CASE("a FIN right behind a short read is heard") {
  EpollWorld world;
  Driver& driver = world.driver();
  Acceptor acceptor(driver, world.listen());
  Connections connections(acceptor, 1);
  const int client = connections.clients[0].fd(), server = connections.servers[0].fd();
  REQUIRE(::send(client, "bye", 3, 0) == 3);
  connections.clients[0].shutdown_write();
  std::string heard;
  hear(driver, server, heard, 3);
  Recorder end;
  driver.receive(end, server, ReceiveSize::small, true);
  turn_until(driver, [&] { return !end.in_flight(); });
  CHECK(end.results == std::vector{0});
}

TEST_CASE("a listener that another process made blocking again does not hold the worker up") {
  EpollWorld world;
  Driver& driver = world.driver();
  const int fd = world.listen();
  Acceptor acceptor(driver, fd);
  REQUIRE(::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) & ~O_NONBLOCK) == 0);
  const TimePoint begun = Clock::now();
  Connections connections(acceptor, 3);
  CHECK(connections.servers[2]);
  CHECK(Clock::now() - begun < 5s);
}

TEST_CASE("a listener that stays open elsewhere is not watched once its accept has ended") {
  EpollWorld world;
  Driver& driver = world.driver();
  const int fd = world.listen();
  const Fd elsewhere(::dup(fd));
  Recorder accept;
  driver.accept(accept, fd);
  driver.turn(driver.now() + 1ms);
  CHECK(watched() == 2);  // and the eventfd of wake()
  driver.cancel(accept);
  turn_until(driver, [&] { return !accept.in_flight(); });
  CHECK(accept.results == std::vector{-ECANCELED});
  CHECK(watched() == 1);
  driver.close(fd);
}

TEST_CASE("what is waited for and is no connection may be closed by its owner") {
  EpollWorld world;
  Driver& driver = world.driver();
  for (int round = 0; round < 3; ++round) {  // the same number each time, without the driver's close
    const Fd event(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    Recorder readable;
    driver.wait_readable(readable, event.get());
    driver.turn(driver.now() + 5ms);
    CHECK(readable.results.empty());
    const uint64_t one = 1;
    REQUIRE(::write(event.get(), &one, sizeof one) == sizeof one);
    turn_until(driver, [&] { return !readable.in_flight(); });
    CHECK(readable.results == std::vector<int32_t>{EPOLLIN});
  }
}

TEST_CASE("an operation on no descriptor ends with EBADF, in its turn") {
  EpollWorld world;
  Driver& driver = world.driver();
  Recorder bad[4];
  driver.accept(bad[0], -1);
  driver.receive(bad[1], -1, ReceiveSize::small, true);
  driver.send(bad[2], -1, as_bytes("x"), false);
  driver.wait_readable(bad[3], -1);
  for (const Recorder& one : bad) CHECK(one.results.empty());
  driver.turn(driver.now() + 1s);
  for (const Recorder& one : bad) CHECK(one.results == std::vector{-EBADF});
}

TEST_CASE("an endless exchange leaves other descriptors and timers their turn") {
  EpollWorld world;
  Driver& driver = world.driver();
  Acceptor acceptor(driver, world.listen());
  Connections connections(acceptor, 2);
  struct Chatter final : Op {
    Driver& driver;
    int fd;
    bool stop = false;
    Chatter(Driver& of, int on) : driver(of), fd(on) { driver.send(*this, fd, {}, false); }
    void complete(int32_t result, Buffer, bool) override {
      CHECK(result == 0);
      if (!stop) driver.send(*this, fd, {}, false);  // nothing, which always succeeds at once
    }
  } chatter(driver, connections.clients[0].fd());
  Recorder receive;
  driver.receive(receive, connections.servers[1].fd(), ReceiveSize::small, true);
  REQUIRE(::send(connections.clients[1].fd(), "hello", 5, 0) == 5);
  for (int i = 0; i < 10 && receive.in_flight(); ++i) driver.turn(driver.now() + 10s);
  CHECK(receive.text == "hello");
  chatter.stop = true;
  turn_until(driver, [&] { return !chatter.in_flight(); });
}

TEST_CASE("a listener's flood is accepted in portions, and all of it") {
  EpollWorld world;
  Driver& driver = world.driver();
  Acceptor acceptor(driver, world.listen(512));
  const SocketAddress to = *driver.local_address(acceptor.fd());
  std::vector<Socket> clients;
  std::deque<Recorder> connects(200);
  for (Recorder& connect : connects) {
    clients.emplace_back(driver, driver.open_socket({}).value());
    driver.connect(connect, clients.back().fd(), to);
  }
  int turns =
      0;  // from the first that accepted; what one accepts and has no time to tell is told in the next
  for (int i = 0; i < 100 && acceptor.completions < 200; ++i) {
    driver.turn(driver.now() + 20ms);
    if (acceptor.completions > 0) CHECK(acceptor.completions <= 64 * ++turns);
  }
  CHECK(acceptor.completions == 200);
  turn_until(driver, [&] { return std::ranges::none_of(connects, &Recorder::in_flight); });
}

}  // namespace weir::io

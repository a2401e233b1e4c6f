// An accept loop that runs out of something.
#include "nodeproxy/net/acceptor.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <catch2/catch.hpp>
#include <cerrno>
#include <memory>
#include <vector>

#include "nodeproxy/base/fd.h"
#include "nodeproxy/base/limits.h"
#include "nodeproxy/io/choose.h"
#include "nodeproxy/io/sim.h"

namespace weir::net {
namespace {

using namespace std::chrono_literals;
using io::SimWorld;

constexpr int kKept = limits::reserved_descriptors + limits::dialling_descriptors;
const SocketAddress kListener = *SocketAddress::parse("10.0.0.1:80");

struct Listening {
  explicit Listening(uint64_t seed = 1) : world(seed) { acceptor.start(); }
  ~Listening() {
    acceptor.stop();
    world.run_until_idle();
    REQUIRE(acceptor.idle());
    for (const int fd : accepted) driver.close(fd);
    driver.close(fd);
  }
  void dial(int count = 1) {
    for (int i = 0; i < count; ++i) world.connect_app({*Ip::parse("10.0.0.9"), next_port++}, kListener);
  }
  uint64_t paused(Reason reason) const { return pauses.by_reason()[static_cast<size_t>(reason)]; }

  SimWorld world;
  io::SimDriver& driver = world.add_driver();
  int fd = world.listen(driver, kListener);
  std::vector<int> accepted;
  uint16_t next_port = 40'000;
  AcceptPauses pauses;
  Acceptor acceptor{driver, fd, pauses, [this](int one) { accepted.push_back(one); }, [] {}};
};

TEST_CASE("an accept that fails for want of something pauses, and goes on by itself") {
  const auto [os_code, reason] = GENERATE(table<int, Reason>({{EMFILE, Reason::out_of_descriptors},
                                                              {ENFILE, Reason::out_of_descriptors},
                                                              {ENOMEM, Reason::out_of_memory},
                                                              {ENOBUFS, Reason::out_of_memory}}));
  Listening listening;
  listening.world.fail_next(SimWorld::Step::accept, os_code);
  listening.dial(3);
  listening.world.run_for(limits::accept_pause / 2);
  CHECK(listening.accepted.empty());
  CHECK(listening.paused(reason) == 1);
  listening.world.run_for(limits::accept_pause);
  CHECK(listening.accepted.size() == 3);
  CHECK(listening.pauses.count() == 1);
}

TEST_CASE("a connection that ended in the queue is no reason to pause") {
  Listening listening;
  listening.world.fail_next(SimWorld::Step::accept, ECONNABORTED);
  listening.dial();
  listening.world.run_for(limits::accept_pause / 2);
  CHECK(listening.accepted.size() == 1);
  CHECK(listening.pauses.count() == 0);
}

TEST_CASE("when descriptors are short nobody is accepted until they are not, and then everybody") {
  const uint64_t seed = GENERATE(1, 2, 3, 4, 5);
  Listening listening(seed);
  listening.dial();
  listening.world.run_for(10ms);
  REQUIRE(listening.accepted.size() == 1);
  listening.world.set_descriptors_beyond(kKept - 1);
  listening.dial();
  listening.world.run_for(10ms);
  const size_t before =
      listening.accepted.size();  // he who told that they are, and whoever was quicker than the cancel
  CHECK(before == 2);
  CHECK(listening.paused(Reason::out_of_descriptors) == 1);
  listening.dial(10);
  listening.world.run_for(5s);
  CHECK(listening.accepted.size() == before);
  listening.world.set_descriptors_beyond(kKept);
  listening.world.run_for(limits::accept_pause * 2);
  CHECK(listening.accepted.size() == 12);
  CHECK(listening.pauses.count() == 1);
}

TEST_CASE("an acceptor may be stopped at every moment of a pause") {
  const auto wait = GENERATE(0us, 20us, 100us, 1000us, 200'000us);
  const uint64_t seed = GENERATE(1, 2, 3, 4, 5);
  Listening listening(seed);
  listening.world.set_descriptors_beyond(kKept - 1);
  listening.dial(2);
  listening.world.run_for(wait);
}  // whose destructor stops it, and wants it idle

// Two proxies at the listeners of a pod, as while one replaces the other. io_uring's accepts wait exclusively: a
// connection wakes one of them alone, and who is woken and stops must not leave it in the queue.
struct Proxy {
  Proxy(io::DriverChoice choice, int listener)
      : driver(std::move(io::choose_driver(choice)->driver)),
        acceptor(*driver, listener, pauses, [this](int fd) { accepted.emplace_back(fd); }, [] {}) {
    acceptor.start();
    turn();
  }
  ~Proxy() {
    acceptor.stop();
    for (int i = 0; i < 100 && !acceptor.idle(); ++i) turn();
    REQUIRE(acceptor.idle());
  }
  void turn() { driver->turn(driver->now() + 1ms); }

  std::vector<Fd> accepted;
  AcceptPauses pauses;
  std::unique_ptr<io::Driver> driver;
  Acceptor acceptor;
};

struct Listener {
  Listener() {
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    REQUIRE(::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), length) == 0);
    REQUIRE(::listen(fd.get(), 16) == 0);
    REQUIRE(::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &length) == 0);
  }
  Fd client() const {  // connected
    Fd one(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    REQUIRE(::connect(one.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    return one;
  }

  Fd fd{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  sockaddr_in address{};
};

TEST_CASE("a connection that wakes a proxy which stops at this moment is served, by either of two",
          "[kernel]") {
  const auto choice = GENERATE(io::DriverChoice::io_uring, io::DriverChoice::epoll);
  const Listener listener;
  Proxy old(choice, listener.fd.get()), successor(choice, listener.fd.get());
  const Fd client = listener.client();
  old.acceptor.stop();
  for (int i = 0; i < 50; ++i) {
    old.turn();
    successor.turn();
  }
  CHECK(old.acceptor.idle());
  CHECK(old.accepted.size() + successor.accepted.size() == 1);
}

TEST_CASE("a connection that wakes a proxy which is killed at this moment is served by the other",
          "[kernel]") {
  const auto choice = GENERATE(io::DriverChoice::io_uring, io::DriverChoice::epoll);
  const Listener listener;
  Proxy killed(choice, listener.fd.get()), other(choice, listener.fd.get());
  const Fd client = listener.client();  // the one that was first to wait is woken, and never looks
  for (int i = 0; i < 3; ++i) {
    other.acceptor.look();
    for (int turn = 0; turn < 20; ++turn) other.turn();
  }
  CHECK(other.accepted.size() == 1);
  const Fd next = listener.client();
  for (int i = 0; i < 3 && other.accepted.size() < 2; ++i) {
    other.acceptor.look();
    for (int turn = 0; turn < 20; ++turn) other.turn();
  }
  CHECK(other.accepted.size() == 2);
  for (Proxy* one : {&killed, &other}) {
    one->acceptor.stop();
    for (int turn = 0; turn < 20; ++turn) one->turn();
    CHECK(one->acceptor.idle());
  }
}

}  // namespace
}  // namespace weir::net

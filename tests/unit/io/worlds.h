#pragma once
// What the driver tests need of a world, for each driver: a driver, and listeners on its loopback. Tests are written
// once, over the World, and talk to themselves: both ends of every connection are sockets of the driver under test.
// Thread: the test's. Lifetime: one test case.
#include <arpa/inet.h>
#include <sys/socket.h>

#include <catch2/catch.hpp>
#include <deque>
#include <memory>

#include "nodeproxy/io/epoll.h"
#include "nodeproxy/io/scope.h"
#include "nodeproxy/io/signal.h"
#include "nodeproxy/io/sim.h"
#include "nodeproxy/io/socket.h"
#include "nodeproxy/io/uring.h"

namespace weir::io {

// Of a driver on the real kernel, listening on loopback.
template <typename OfDriver>
struct KernelWorld {
  explicit KernelWorld(typename OfDriver::Options options) {
    auto opened = OfDriver::open(options);
    if (!opened) FAIL(opened.error().describe());
    driver_ = std::move(*opened);
  }
  Driver& driver() { return *driver_; }
  // A listening socket on loopback; its address is driver().local_address().
  int listen(int backlog = 128) {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    REQUIRE(fd >= 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE(::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    REQUIRE(::listen(fd, backlog) == 0);
    return fd;
  }

 private:
  std::unique_ptr<Driver> driver_;
};

struct UringWorld : KernelWorld<UringDriver> {
  using Options = UringDriver::Options;
  explicit UringWorld(Options options = {.entries = 256, .small_buffers = 256, .large_buffers = 64})
      : KernelWorld(options) {}
};

struct EpollWorld : KernelWorld<EpollDriver> {
  using Options = EpollDriver::Options;
  explicit EpollWorld(Options options = {.small_buffers = 256, .large_buffers = 64}) : KernelWorld(options) {}
};

// The same on the simulator, without faults.
struct SimulatedWorld {
  Driver& driver() { return driver_; }
  int listen(int backlog = 128) {
    return world.listen(driver_, {*Ip::parse("127.0.0.1"), ++port_}, static_cast<size_t>(backlog));
  }
  ~SimulatedWorld() {
    for (const std::string& what : world.audit()) FAIL_CHECK("seed " << world.seed() << ": " << what);
  }

  SimWorld world{Catch::rngSeed()};

 private:
  SimDriver& driver_ = world.add_driver();
  uint16_t port_ = 8000;
};

// Accepts on a listener until stopped; next() is awaited by one coroutine.
class Acceptor final : public Op {
 public:
  Acceptor(Driver& driver, int fd) : driver_(driver), fd_(fd) { driver_.accept(*this, fd_); }
  ~Acceptor() {
    stop();
    for (const int fd : accepted_) driver_.close(fd);
    driver_.close(fd_);
  }
  // Cancels and waits for the last completion.
  void stop() {
    stopping_ = true;
    driver_.cancel(*this);
    while (in_flight()) driver_.turn(driver_.now() + std::chrono::milliseconds(100));
  }
  Task<Socket> next() {
    while (accepted_.empty()) {
      if (!co_await changed_.wait()) co_return Socket();
    }
    const int fd = accepted_.front();
    accepted_.pop_front();
    co_return Socket(driver_, fd);
  }
  int fd() const { return fd_; }
  Driver& driver() const { return driver_; }
  int completions = 0, last_error = 0, ended = 0;

 private:
  void complete(int32_t result, Buffer, bool more) override {
    ++completions;
    if (result >= 0) {
      accepted_.push_back(result);
    } else {
      last_error = result;
    }
    changed_.notify();
    if (more) return;
    ++ended;
    if (!stopping_) driver_.accept(*this, fd_);
  }

  Driver& driver_;
  int fd_;
  bool stopping_ = false;
  std::deque<int> accepted_;
  Signal changed_;
};

// Turns the driver until the scope is empty; fails after `limit` of the driver's clock.
inline void run_until_empty(Scope& scope, Clock::duration limit = std::chrono::seconds(20)) {
  Driver& driver = scope.driver();
  const TimePoint end = driver.now() + limit;
  while (!scope.empty()) {
    driver.turn(end);
    if (driver.now() >= end) FAIL("still running after the limit");
  }
}

inline std::span<const std::byte> as_bytes(std::string_view text) { return std::as_bytes(std::span(text)); }
inline std::string to_text(const Buffer& buffer) {
  return std::string(reinterpret_cast<const char*>(buffer.bytes().data()), buffer.size());
}

}  // namespace weir::io

#define FOR_EVERY_DRIVER(name) \
  TEMPLATE_TEST_CASE("a driver " name, "[io]", UringWorld, EpollWorld, SimulatedWorld)
#define FOR_EVERY_KERNEL_DRIVER(name) \
  TEMPLATE_TEST_CASE("a kernel's driver " name, "[io]", UringWorld, EpollWorld)

// The simulator itself: that it repeats, that it strikes where it is told to, and that it notices broken promises.
#include "nodeproxy/io/sim.h"

#include "tests/unit/io/worlds.h"

namespace weir::io {
namespace {

using namespace std::chrono_literals;

const SocketAddress kServer = *SocketAddress::parse("10.0.0.9:80");

struct Note final : Op {
  void complete(int32_t r, Buffer, bool) override { result = r; }
  int32_t result = INT32_MIN;
};

Task<void> connect_one(Socket& socket, SocketAddress to, TimePoint deadline, Status& status) {
  status = co_await socket.connect(to, deadline);
}

Status try_connect(SimWorld& world, SimDriver& driver, const SocketAddress& to, Clock::duration limit) {
  Socket socket(driver, driver.open_socket({}).value());
  Scope scope(driver);
  Status status;
  scope.spawn(connect_one(socket, to, driver.now() + limit, status));
  CHECK(world.run_until([&] { return scope.empty(); }));
  return status;
}

// Everything a run shows, as text.
std::string history(uint64_t seed) {
  SimWorld world(seed);
  SimAppListener& listener = world.listen_app(kServer);
  listener.on_accept = [](SimApp& app) {
    app.on_change = [](SimApp& echo) {
      echo.send(echo.take_received());
      if (echo.saw_fin()) echo.finish();
    };
  };
  std::string told;
  for (int i = 0; i < 5; ++i) {
    SimApp& app = world.connect_app({*Ip::parse("10.0.0.1"), 0}, kServer);
    app.on_change = [&](SimApp& one) {
      told += std::to_string((world.now().time_since_epoch() / 1us)) + ":" +
              std::to_string(one.received_bytes()) + " ";
    };
    app.send(std::string(10'000, 'x'));
    app.finish();
  }
  world.run_until_idle();
  return told;
}

}  // namespace

TEST_CASE("the same seed gives the same run, another seed another") {
  CHECK(history(7) == history(7));
  CHECK(history(7) != history(8));
}

TEST_CASE("an address may refuse, be unreachable, or stay silent until the deadline") {
  SimWorld world(1);
  SimDriver& driver = world.add_driver();
  world.network().make_unreachable(*Ip::parse("10.0.0.21"));
  world.network().make_silent(*Ip::parse("10.0.0.22"));
  CHECK(try_connect(world, driver, kServer, 60s).error().reason == Reason::refused);
  CHECK(try_connect(world, driver, *SocketAddress::parse("10.0.0.21:80"), 60s).error().reason ==
        Reason::unreachable);
  const TimePoint start = world.now();
  CHECK(try_connect(world, driver, *SocketAddress::parse("10.0.0.22:80"), 5s).error().reason ==
        Reason::connect_timeout);
  CHECK(world.now() - start >= 5s);
  CHECK(world.now() - start < 6s);
  CHECK(world.audit().empty());
}

TEST_CASE("a forced error strikes the next operation of its kind, once") {
  SimWorld world(2);
  SimDriver& driver = world.add_driver();
  world.listen_app(kServer);
  world.fail_next(SimWorld::Step::open_socket, EMFILE);
  CHECK(driver.open_socket({}).error().reason == Reason::out_of_descriptors);
  world.fail_next(SimWorld::Step::connect, ENETUNREACH);
  CHECK(try_connect(world, driver, kServer, 5s).error().reason == Reason::unreachable);
  CHECK(try_connect(world, driver, kServer, 5s).has_value());
  CHECK(world.audit().empty());
}

TEST_CASE("a capture takes what other nodes dial, and not what its own node does") {
  SimWorld world(3);
  SimDriver& here = world.add_driver(0);
  SimDriver& there = world.add_driver(1);
  SimAppListener& app = world.listen_app(kServer, 1);
  const int listener = world.listen(there, {*Ip::parse("10.0.0.2"), 15'001});
  world.capture(kServer.ip, there, listener);
  Note accepted;
  there.accept(accepted, listener);
  CHECK(try_connect(world, here, kServer, 5s).has_value());
  CHECK(accepted.result >= 0);
  CHECK(*there.local_address(accepted.result) == kServer);  // what was dialled
  CHECK(app.accepted().empty());
  CHECK(try_connect(world, there, kServer, 5s).has_value());
  CHECK(app.accepted().size() == 1);
  there.close(accepted.result);
  there.cancel(accepted);
  world.run_until_idle();
  there.close(listener);
  CHECK(world.audit().empty());
}

TEST_CASE("closing twice, closing under an operation, and leaking are noticed") {
  SimWorld world(4);
  SimDriver& driver = world.add_driver();
  const int once = driver.open_socket({}).value();
  driver.close(once);
  driver.close(once);
  CHECK(world.audit().size() == 1);
  const int listener = world.listen(driver, kServer);
  Note note;
  driver.accept(note, listener);
  CHECK(world.audit().size() == 2);  // a descriptor and an operation
  driver.close(listener);
  world.run_until_idle();
  CHECK(note.result == -EBADF);
  CHECK(world.audit().size() == 1);  // closed under it
  CHECK(world.audit().empty());
}

}  // namespace weir::io

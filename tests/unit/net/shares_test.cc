// What source addresses hold of a worker, and what they are refused.
#include "nodeproxy/net/shares.h"

#include <catch2/catch.hpp>
#include <vector>

#include "nodeproxy/io/sim.h"

namespace weir::net {
namespace {

using namespace std::chrono_literals;

const Ip kOne = *Ip::parse("10.0.0.1"), kOther = *Ip::parse("10.0.0.2");

struct Counted {
  io::SimWorld world{1};
  Shares shares{world.add_driver()};

  Counted() { shares.configure({.connections = 2, .sessions = 2, .handshakes = 4, .buffered_bytes = 1000}); }
  uint64_t refused(ShareLimit limit) const { return shares.refused()[static_cast<size_t>(limit)]; }
};

TEST_CASE("an address is refused above its limit of connections, another one is not") {
  Counted counted;
  auto first = counted.shares.connection(kOne), second = counted.shares.connection(kOne);
  REQUIRE((first && second));
  const auto third = counted.shares.connection(kOne);
  REQUIRE_FALSE(third);
  CHECK(third.error().reason == Reason::overloaded);
  CHECK(*third.error().detail == "the source's limit: 2 connections at a time");
  CHECK(counted.refused(ShareLimit::connections) == 1);
  CHECK(counted.shares.connection(kOther));
  first->release();
  CHECK(counted.shares.connection(kOne));
  CHECK(counted.refused(ShareLimit::connections) == 1);
}

TEST_CASE("sessions have a limit of their own") {
  Counted counted;
  auto connection = counted.shares.connection(kOne);
  Share& share = counted.shares.of(kOne);
  const auto first = counted.shares.session(share), second = counted.shares.session(share);
  REQUIRE((first && second));
  CHECK_FALSE(counted.shares.session(share));
  CHECK(counted.refused(ShareLimit::sessions) == 1);
  CHECK(counted.refused(ShareLimit::connections) == 0);
  CHECK(counted.shares.session(counted.shares.of(kOther)));
}

TEST_CASE("handshakes are limited while they are under way") {
  Counted counted;
  Share& share = counted.shares.of(kOne);
  std::vector<Permit> held;
  for (int i = 0; i < 4; ++i) held.push_back(std::move(*counted.shares.handshake(share)));
  counted.world.run_for(5s);  // as many as these may begin
  CHECK_FALSE(counted.shares.handshake(share));
  held.pop_back();
  CHECK(counted.shares.handshake(share));
}

TEST_CASE("handshakes that have ended are limited by the second: a burst passes, a flood does not") {
  Counted counted;
  Share& share = counted.shares.of(kOne);
  for (int i = 0; i < 4; ++i) CHECK(counted.shares.handshake(share));
  CHECK_FALSE(counted.shares.handshake(share));
  CHECK(counted.refused(ShareLimit::handshakes) == 1);
  CHECK(counted.shares.handshake(counted.shares.of(kOther)));
  counted.world.run_for(250ms);
  CHECK(counted.shares.handshake(share));
  CHECK_FALSE(counted.shares.handshake(share));
  counted.world.run_for(1h);  // what is not used is not saved up
  for (int i = 0; i < 4; ++i) CHECK(counted.shares.handshake(share));
  CHECK_FALSE(counted.shares.handshake(share));
}

TEST_CASE("there is room for windows as long as they fit the budget") {
  Counted counted;
  Share& share = counted.shares.of(kOne);
  CHECK(counted.shares.room(share, 1000));
  share.windows.take(1);
  CHECK_FALSE(counted.shares.room(share, 1000));
  CHECK(counted.refused(ShareLimit::buffered_bytes) == 1);
  CHECK(counted.shares.room(counted.shares.of(kOther), 1000));
  share.windows.give_back(1);
}

TEST_CASE("who holds nothing is forgotten, but not how many handshakes he has just had") {
  Counted counted;
  auto connection = counted.shares.connection(kOne);
  Share& share = counted.shares.of(kOther);
  Permit lane = counted.shares.lane(share);
  counted.shares.sweep();
  CHECK(counted.shares.size() == 2);
  connection->release();
  counted.shares.sweep();
  CHECK(counted.shares.size() == 1);
  REQUIRE(counted.shares.handshake(share));
  lane.release();
  counted.shares.sweep();
  CHECK(counted.shares.size() == 1);
  counted.world.run_for(1s);
  counted.shares.sweep();
  CHECK(counted.shares.size() == 0);
}

}  // namespace
}  // namespace weir::net

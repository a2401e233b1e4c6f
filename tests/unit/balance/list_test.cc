// The lists and memories a worker keeps: what makes them new, what makes them go, and that they are bounded.
#include <catch2/catch.hpp>
#include <set>

#include "nodeproxy/balance/pick.h"
#include "tests/unit/balance/services.h"

using namespace weir;
using namespace weir::balance;
using namespace weir::balance::test;
using namespace std::chrono_literals;

namespace {

Request at(const Service& service, TimePoint now = TimePoint(1000s)) {
  Request from = request(service);
  from.now = now;
  from.http = true;
  return from;
}

}  // namespace

TEST_CASE("a list is kept while the Service object is the same, and new with the next") {
  const Service asked = published(service_of(100, Balancer::automatic));
  State state(1);
  const Candidate* list = nullptr;
  const auto first = [&](const Service& service) {
    const auto choice = pick(at(service), state);
    REQUIRE(choice.has_value());
    return choice->group->eligible().tier(0).candidates.data();
  };
  list = first(asked);
  for (int i = 0; i < 100; ++i) CHECK(first(asked) == list);
  const Service fewer = published(service_of(99, Balancer::automatic));
  const uint64_t gone = asked.slices[0]->endpoints[99].id;
  for (int i = 0; i < 2000; ++i) {
    const auto choice = pick(at(fewer), state);
    REQUIRE(choice->endpoint->id != gone);
    REQUIRE(choice->endpoint >= fewer.slices[0]->endpoints.data());
    REQUIRE(choice->endpoint < fewer.slices[0]->endpoints.data() + 99);
  }
}

TEST_CASE("another Service object at the same address is another service") {
  State state(1);
  Service reused = published(service({{"10.0.0.1"}, {"10.0.0.2"}}, Balancer::random));
  CHECK(tally(at(reused), state, 200).size() == 2);
  reused = published(service({{"10.0.0.3"}}, Balancer::random));
  CHECK(tally(at(reused), state, 200) == std::map<std::string, int>{{"10.0.0.3", 200}});
}

TEST_CASE("a service without a revision is looked at anew each time") {
  State state(1);
  Service asked = service({{"10.0.0.1"}, {"10.0.0.2"}}, Balancer::random);
  REQUIRE(asked.revision == 0);
  CHECK(tally(at(asked), state, 200).size() == 2);
  asked.slices = {slice({{"10.0.0.4"}})};
  CHECK(tally(at(asked), state, 200) == std::map<std::string, int>{{"10.0.0.4", 200}});
}

TEST_CASE("clients of other nodes and zones have lists of their own") {
  State state(1);
  Service asked = service({{"10.0.0.1", "n1", "z1"}, {"10.0.0.2", "n2", "z2"}}, Balancer::random);
  asked.locality = LocalityPreference::same_zone;
  asked = published(asked);
  Request here = at(asked), there = at(asked);
  there.zone = "z2";
  for (int i = 0; i < 20; ++i) {
    CHECK(pick(here, state)->endpoint->address == ip("10.0.0.1"));
    CHECK(pick(there, state)->endpoint->address == ip("10.0.0.2"));
  }
}

TEST_CASE("an endpoint that two slices have is one endpoint") {
  Service asked = service({{"10.0.0.1"}, {"10.0.0.2"}}, Balancer::random);
  asked.slices.push_back(slice({{"10.0.0.2"}, {"10.0.0.3"}}));
  State state(1);
  for (const auto& [address, count] : tally(at(asked), state, 9000))
    CHECK(count == Approx(3000).epsilon(0.1));
}

TEST_CASE("endpoints that vanished are forgotten after a minute, but not while a request is there") {
  State state(1);
  TimePoint now(1000s);
  RequestLease held;
  for (int round = 0; round < 200; ++round) {
    Service made = service({}, Balancer::automatic);
    const std::string address = "10.0." + std::to_string(round) + ".1";
    made.slices = {slice({{.address = address.c_str()}})};
    made = published(made);
    const auto choice = pick(at(made, now), state);
    auto lease = state.request(*choice, now);
    if (round == 0) held = std::move(lease);
    now += 1s;
    CHECK(state.groups().members() <= 64);
  }
  const auto left = [&](TimePoint at_time) {
    const Service last = published(service({{"10.1.0.1"}}, Balancer::automatic));
    REQUIRE(pick(at(last, at_time), state));
    return state.groups().members();
  };
  CHECK(left(now + 100s) == 3);  // the held one, the last of the loop, which goes only now, and the new one
  CHECK(left(now + 200s) == 2);
  held.answered({Outcome::Kind::ok, 1ms}, now);
  CHECK(left(now + 300s) == 2);
  held.release();
  CHECK(left(now + 400s) == 1);
}

TEST_CASE("services long unused are forgotten, those with requests under way are not") {
  State state(1);
  std::vector<Service> services;
  for (int i = 0; i < 100; ++i) {
    Service made = service({{"10.0.0.1"}}, Balancer::automatic);
    made.name = "shop/web-" + std::to_string(i);
    services.push_back(published(made));
  }
  const TimePoint start(1000s);
  RequestLease held;
  for (const Service& each : services) {
    const auto choice = pick(at(each, start), state);
    if (&each == &services.front()) held = state.request(*choice, start);
  }
  CHECK(state.groups().size() == 100);
  REQUIRE(pick(at(services.back(), start + 300s), state));
  REQUIRE(pick(at(services.back(), start + 700s), state));
  CHECK(state.groups().size() == 2);
  held.release({Outcome::Kind::failed, 1ms}, start + 700s);
  REQUIRE(pick(at(services.back(), start + 800s), state));
  CHECK(state.groups().size() == 1);
}

TEST_CASE("groups and endpoints are bounded: the least recently used make room") {
  Groups::Limits limits;
  limits.groups_max = 80;
  limits.members_max = 1000;
  State state(1, limits);
  TimePoint now(1000s);
  std::vector<Service> services;
  for (int i = 0; i < 300; ++i) {
    Service made = service_of(i < 150 ? 1 : 50, Balancer::automatic);
    made.name = "shop/web-" + std::to_string(i);
    services.push_back(published(made));
  }
  const auto busy = state.request(*pick(at(services.front(), now), state), now);
  for (const Service& each : services) {
    REQUIRE(pick(at(each, now += 2s), state));
    CHECK(state.groups().size() <= limits.groups_max);
    CHECK(state.groups().members() <= limits.members_max);
  }
  bool still_there = false;
  state.groups().for_each(
      [&](const Group& group) { still_there |= group.key().service == services.front().name; });
  CHECK(still_there);
}

// How each balancer chooses among what is eligible: proportions, order, stickiness. Property tests print their seed.
#include <catch2/catch.hpp>
#include <cmath>
#include <map>
#include <numeric>
#include <random>
#include <set>

#include "nodeproxy/balance/pick.h"
#include "tests/unit/balance/services.h"

using namespace weir;
using namespace weir::balance;
using namespace weir::balance::test;
using namespace std::chrono_literals;

TEST_CASE("round robin of equal weights goes one after the other, per port, and workers start apart") {
  const Service asked = service({{"10.0.0.1"}, {"10.0.0.2"}, {"10.0.0.3"}}, Balancer::round_robin);
  State state(5);
  std::vector<uint64_t> order;
  for (int i = 0; i < 9; ++i) {
    order.push_back(pick(request(asked), state)->endpoint->id);
    Request other_port = request(asked);
    other_port.port = 9090;
    REQUIRE(pick(other_port, state));
  }
  CHECK(std::set<uint64_t>(order.begin(), order.begin() + 3).size() == 3);
  for (size_t i = 3; i < order.size(); ++i) CHECK(order[i] == order[i - 3]);
  std::set<uint64_t> starts;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    State worker(seed);
    starts.insert(pick(request(asked), worker)->endpoint->id);
  }
  CHECK(starts.size() == 3);
}

TEST_CASE(
    "round robin keeps random weights exactly in every round, and does not send a heavy one's share in a "
    "row") {
  const unsigned seed = std::random_device()();
  CAPTURE(seed);
  std::mt19937 random(seed);
  for (int trial = 0; trial < 30; ++trial) {
    std::vector<std::string> addresses;
    std::vector<Spec> specs;
    const uint32_t scale = 1 + random() % 50;
    const size_t count = 1 + random() % 8;
    for (size_t i = 0; i < count; ++i) addresses.push_back("10.0.0." + std::to_string(i + 1));
    uint64_t total = 0;
    for (const std::string& address : addresses) {
      specs.push_back(
          {.address = address.c_str(), .weight = scale * (1 + static_cast<uint32_t>(random() % 9))});
      total += specs.back().weight;
    }
    uint64_t divisor = 0;
    for (const Spec& spec : specs) divisor = std::gcd(divisor, uint64_t{spec.weight});
    const Service asked = service(specs, Balancer::round_robin);
    State state(random());
    for (int round = 0; round < 3; ++round) {
      const auto counts = tally(request(asked), state, static_cast<int>(total / divisor));
      for (const Spec& spec : specs)
        CHECK(counts.at(spec.address) == static_cast<int>(spec.weight / divisor));
    }
  }
  const Service uneven = service(
      {{.address = "10.0.0.1", .weight = 60}, {.address = "10.0.0.2", .weight = 40}}, Balancer::round_robin);
  State state(3);
  int row = 0;
  for (int i = 0; i < 100; ++i) {
    row = pick(request(uneven), state)->endpoint->weight == 60 ? row + 1 : 0;
    CHECK(row <= 3);
  }
}

TEST_CASE("random and least connections without load keep the weights") {
  const Service proto = service({{.address = "10.0.0.1", .weight = 10},
                                 {.address = "10.0.0.2", .weight = 60},
                                 {.address = "10.0.0.3", .weight = 30}});
  const unsigned seed = std::random_device()();
  CAPTURE(seed);
  for (const auto balancer : {Balancer::random, Balancer::least_connections}) {
    Service asked = proto;
    asked.balancer = balancer;
    State state(seed);
    const int picks = 30'000;
    const auto counts = tally(request(asked), state, picks);
    for (const auto& [address, share] : {std::pair{"10.0.0.1", 0.1}, {"10.0.0.2", 0.6}, {"10.0.0.3", 0.3}}) {
      CAPTURE(address);
      // Six standard deviations: a false alarm in a billion runs.
      CHECK(std::abs(counts.at(address) - picks * share) < 6 * std::sqrt(picks * share * (1 - share)));
    }
  }
}

TEST_CASE("least connections levels long connections by weight, far better than chance") {
  const unsigned seed = std::random_device()();
  CAPTURE(seed);
  std::vector<std::string> addresses;
  for (int i = 1; i <= 10; ++i) addresses.push_back("10.0.0." + std::to_string(i));
  std::vector<Spec> specs;
  for (size_t i = 0; i < addresses.size(); ++i)
    specs.push_back({.address = addresses[i].c_str(), .weight = i < 5 ? 100U : 200U});
  const Service asked = service(specs);
  State state(seed);
  std::vector<State::Lease> leases;
  for (int i = 0; i < 15'000; ++i) leases.push_back(state.lease(pick(request(asked), state)->endpoint->id));
  for (const Endpoint& endpoint : asked.slices[0]->endpoints) {
    const double fair = endpoint.weight * 10.0;
    CAPTURE(endpoint.address.to_string(), state.open(endpoint.id));
    // By chance alone the counts would stray by some 3 % (one standard deviation); two choices keep them within a few.
    CHECK(std::abs(state.open(endpoint.id) - fair) < 25);
  }
  CHECK(state.tracked_endpoints() == 10);
  leases.clear();
  CHECK(state.tracked_endpoints() == 0);
}

TEST_CASE("of two endpoints the one with fewer open connections is taken") {
  const Service asked = service({{"10.0.0.1"}, {"10.0.0.2"}});
  State state(1);
  const auto busy = state.lease(asked.slices[0]->endpoints[0].id);
  CHECK(reachable(request(asked)) == "10.0.0.1 10.0.0.2");  // a worker without load of its own
  CHECK(tally(request(asked), state, 100) == std::map<std::string, int>{{"10.0.0.2", 100}});
}

TEST_CASE(
    "session affinity: a client stays, whatever worker it meets, and all endpoints have clients by weight") {
  Service asked = service({{"10.0.0.1"}, {"10.0.0.2"}, {.address = "10.0.0.3", .weight = 200}});
  asked.session_affinity_seconds = 10'800;
  std::map<std::string, int> clients;
  const int count = 20'000;
  for (int i = 0; i < count; ++i) {
    Request from = request(asked);
    from.client = ip("10.9." + std::to_string(i / 250) + "." + std::to_string(i % 250));
    State one(1), another(2);
    const auto choice = pick(from, one);
    REQUIRE(choice.has_value());
    CHECK(pick(from, another)->endpoint == choice->endpoint);
    ++clients[choice->endpoint->address.to_string()];
  }
  CHECK(clients["10.0.0.1"] == Approx(count * 0.25).epsilon(0.05));
  CHECK(clients["10.0.0.2"] == Approx(count * 0.25).epsilon(0.05));
  CHECK(clients["10.0.0.3"] == Approx(count * 0.5).epsilon(0.05));
}

TEST_CASE("session affinity: an endpoint that goes moves only its own clients") {
  Service before = service({{"10.0.0.1"}, {"10.0.0.2"}, {"10.0.0.3"}, {"10.0.0.4"}});
  before.session_affinity_seconds = 60;
  Service after = service({{"10.0.0.1"}, {"10.0.0.3"}, {"10.0.0.4"}});
  after.session_affinity_seconds = 60;
  State state(1);
  int moved = 0;
  for (int i = 0; i < 1000; ++i) {
    Request first = request(before), second = request(after);
    first.client = second.client = ip("fd00::" + std::to_string(i));
    const auto was = pick(first, state)->endpoint->address, is = pick(second, state)->endpoint->address;
    if (was == ip("10.0.0.2")) {
      ++moved;
    } else {
      REQUIRE(was == is);
    }
  }
  CHECK(moved > 150);
  CHECK(moved < 350);
}

TEST_CASE("a lease counts once, follows its owner when moved, and ends once") {
  State state(1);
  {
    auto first = state.lease(7);
    auto second = state.lease(7);
    CHECK(state.open(7) == 2);
    auto moved = std::move(first);
    CHECK(state.open(7) == 2);
    moved = std::move(second);
    CHECK(state.open(7) == 1);
    moved.release();
    moved.release();
    CHECK(state.open(7) == 0);
  }
  CHECK(state.tracked_endpoints() == 0);
  state.closed(7);  // more closed than opened changes nothing
  CHECK(state.open(7) == 0);
}

TEST_CASE("what nobody chose a balancer for: requests go by latency, opaque connections by open ones") {
  const Service asked = published(service({{"10.0.0.1"}, {"10.0.0.2"}}, Balancer::automatic));
  const auto& endpoints = asked.slices[0]->endpoints;
  State state(1);
  Request from = request(asked);
  from.now = TimePoint(1000s);
  // The first has the open connection, the second is slow.
  const auto connection = state.lease(endpoints[0].id);
  for (int i = 0; i < 2; ++i) {
    auto choice = *pick(from, state);
    choice.endpoint = &endpoints[static_cast<size_t>(i)];
    choice.member = choice.group->members().find(choice.endpoint->id);
    state.request(choice, from.now).release({Outcome::Kind::ok, i == 0 ? 2ms : 200ms}, from.now);
  }
  for (const auto balancer : {Balancer::automatic, Balancer::peak_ewma}) {
    Service with = asked;
    with.balancer = balancer;
    Request like = request(with);
    like.now = from.now;
    like.http = true;
    CHECK(tally(like, state, 50) == std::map<std::string, int>{{"10.0.0.1", 50}});
    like.http = false;
    CHECK(tally(like, state, 50) == std::map<std::string, int>{{"10.0.0.2", 50}});
  }
}

TEST_CASE("least request takes the one with fewer requests in flight, by weight; connections do not matter") {
  const Service asked =
      published(service({{"10.0.0.1"}, {.address = "10.0.0.2", .weight = 300}}, Balancer::least_request));
  State state(1);
  Request from = request(asked);
  from.http = true;
  const auto connection = state.lease(asked.slices[0]->endpoints[1].id);
  std::vector<RequestLease> leases;
  std::map<std::string, int> in_flight;
  for (int i = 0; i < 400; ++i) {
    const auto choice = pick(from, state);
    leases.push_back(state.request(*choice, from.now));
    ++in_flight[choice->endpoint->address.to_string()];
  }
  CHECK(in_flight["10.0.0.1"] == Approx(100).margin(1));
  CHECK(in_flight["10.0.0.2"] == Approx(300).margin(1));
}

TEST_CASE("a request's lease counts once, follows its owner when moved, and takes one outcome") {
  const Service asked = published(service({{"10.0.0.1"}}, Balancer::automatic));
  State state(1);
  Request from = request(asked);
  from.now = TimePoint(1000s);
  const auto choice = pick(from, state);
  const Member& member = *choice->member;
  {
    RequestLease first = state.request(*choice, from.now), second = state.request(*choice, from.now);
    CHECK(member.in_flight == 2);
    RequestLease moved = std::move(first);
    CHECK(member.in_flight == 2);
    moved = std::move(second);
    CHECK(member.in_flight == 1);
    moved.answered({Outcome::Kind::ok, 5ms}, from.now);
    CHECK(member.in_flight == 1);  // its body is still to come
    moved.release({Outcome::Kind::ok, 50ms}, from.now);
    moved.release();
    CHECK(member.in_flight == 0);
  }
  CHECK(member.in_flight == 0);
  CHECK(member.latency.estimate_ns(from.now, 1) == Approx(5e6));
}

TEST_CASE("an endpoint that is quick to say that it is busy draws no more requests by that") {
  const Service asked = published(service({{"10.0.0.1"}, {"10.0.0.2"}}, Balancer::peak_ewma));
  State state(1);
  Request from = request(asked);
  from.http = true;
  from.now = TimePoint(1000s);
  int busy = 0;
  for (int i = 0; i < 1000; ++i) {
    from.now += 10ms;
    const auto choice = pick(from, state);
    const bool first = choice->endpoint->address == ip("10.0.0.1");
    busy += first ? 1 : 0;
    state.request(*choice, from.now)
        .release({first ? Outcome::Kind::busy : Outcome::Kind::ok, first ? 100us : 5000us}, from.now);
  }
  CHECK(busy < 10);
  CHECK(state.ejected(from.now).empty());
}

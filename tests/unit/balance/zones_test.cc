// How traffic is shared between near and far endpoints while near ones are ejected.
#include <catch2/catch.hpp>
#include <map>

#include "nodeproxy/balance/pick.h"
#include "tests/unit/balance/services.h"

using namespace weir;
using namespace weir::balance;
using namespace weir::balance::test;
using namespace std::chrono_literals;

namespace {

// Near endpoints in the client's zone z1, far ones in z2; those of `ejected` failed until they were left out.
struct Zones {
  Zones(int near, int far, std::vector<int> ejected, Balancer balancer = Balancer::random) {
    Service made = service({}, balancer);
    auto slice = std::make_shared<EndpointSlice>(*test::slice({}));
    for (int i = 0; i < near + far; ++i) {
      const std::string address = "10.0.0." + std::to_string(i + 1);
      slice->endpoints.push_back(
          endpoint({.address = address.c_str(), .node = "n2", .zone = i < near ? "z1" : "z2"}));
    }
    made.slices = {slice};
    made.locality = LocalityPreference::same_zone;
    made.traffic.outlier.ejected_percent_max = 100;
    service_ = published(made);
    for (const int at : ejected) {
      for (int i = 0; i < 5; ++i) {
        auto choice = *pick(asked(), state);
        choice.member = choice.group->members().find(slice->endpoints[static_cast<size_t>(at)].id);
        state.request(choice, now).release({Outcome::Kind::failed, 1ms}, now);
      }
    }
  }
  Request asked() {
    Request from = request(service_);
    from.now = now;
    from.http = true;
    return from;
  }
  // The share of requests that stay near.
  double near(int requests = 20'000) {
    int count = 0;
    for (int i = 0; i < requests; ++i) {
      Request from = asked();
      from.hash = mix(static_cast<uint64_t>(i));
      count += pick(from, state)->endpoint->locality.zone == "z1" ? 1 : 0;
    }
    return static_cast<double>(count) / requests;
  }

  Service service_;
  State state{7};
  TimePoint now{1000s};
};

}  // namespace

TEST_CASE("all traffic stays near while the near endpoints that are left can take it") {
  CHECK(Zones(10, 10, {}).near() == 1);
  CHECK(Zones(10, 10, {1, 5}).near() == 1);          // 0.8 × 1.4
  CHECK(Zones(1, 10, {1, 2, 3, 4, 5}).near() == 1);  // far ones do not matter
}

TEST_CASE("what too few near endpoints cannot take overflows, in proportion") {
  for (const Balancer balancer : {Balancer::random, Balancer::peak_ewma, Balancer::round_robin,
                                  Balancer::ring_hash, Balancer::maglev}) {
    CAPTURE(static_cast<int>(balancer));
    CHECK(Zones(10, 10, {0, 1, 2, 3}, balancer).near() == Approx(0.84).margin(0.015));
    CHECK(Zones(10, 10, {0, 1, 2, 3, 4, 5, 6}, balancer).near() == Approx(0.42).margin(0.015));
    CHECK(Zones(4, 10, {0, 1, 2, 3}, balancer).near() == 0);
  }
}

TEST_CASE("when near and far together are too few, each takes its part") {
  // Near can take 0.42 and far 0.14 of what must be taken.
  CHECK(Zones(10, 10, {0, 1, 2, 3, 4, 5, 6, 10, 11, 12, 13, 14, 15, 16, 17, 18}).near() ==
        Approx(0.75).margin(0.015));
}

TEST_CASE("a heavy near endpoint that is ejected counts by its weight") {
  Service made =
      service({{.address = "10.0.0.1", .weight = 300}, {.address = "10.0.0.2"}, {"10.0.0.3", "n1", "z2"}},
              Balancer::random);
  made.locality = LocalityPreference::same_zone;
  made = published(made);
  State state(3);
  Request from = request(made);
  from.now = TimePoint(1000s);
  for (int i = 0; i < 5; ++i) {
    auto choice = *pick(from, state);
    choice.member = choice.group->members().find(made.slices[0]->endpoints[0].id);
    state.request(choice, from.now).release({Outcome::Kind::failed, 1ms}, from.now);
  }
  const auto counts = tally(from, state, 20'000);
  CHECK_FALSE(counts.contains("10.0.0.1"));
  CHECK(counts.at("10.0.0.2") == Approx(20'000 * 0.35).epsilon(0.05));
}

TEST_CASE("a key overflows always or never") {
  for (const Balancer balancer : {Balancer::ring_hash, Balancer::maglev}) {
    Zones zones(10, 10, {0, 1, 2, 3}, balancer), other_worker(10, 10, {0, 1, 2, 3}, balancer);
    other_worker.state.random().next();
    for (uint64_t key = 0; key < 300; ++key) {
      Request from = zones.asked(), there = other_worker.asked();
      from.hash = there.hash = mix(key);
      const Ip address = pick(from, zones.state)->endpoint->address;
      for (int i = 0; i < 5; ++i) REQUIRE(pick(from, zones.state)->endpoint->address == address);
      REQUIRE(pick(there, other_worker.state)->endpoint->address == address);
    }
  }
}

TEST_CASE("a key that does not overflow stays where it was") {
  Zones whole(10, 10, {}, Balancer::maglev), fewer(10, 10, {0, 1, 2, 3}, Balancer::maglev);
  int moved = 0, of_the_ejected = 0;
  for (int i = 0; i < 10'000; ++i) {
    Request before = whole.asked(), after = fewer.asked();
    before.hash = after.hash = mix(static_cast<uint64_t>(i));
    const Endpoint *was = pick(before, whole.state)->endpoint, *is = pick(after, fewer.state)->endpoint;
    if (was->address == is->address) continue;
    ++moved;
    const auto last = was->address.bytes()[15];
    of_the_ejected += last <= 4 ? 1 : 0;
  }
  // Those of the four that went (0.4), and of the others' keys the 16 % that overflow.
  CHECK(of_the_ejected == Approx(4000).epsilon(0.05));
  CHECK(moved == Approx(4000 + 6000 * 0.16).epsilon(0.05));
}

// Session persistence: a preferred endpoint wins over every balancer, if it may be chosen at all.
#include <catch2/catch.hpp>
#include <set>

#include "nodeproxy/balance/pick.h"
#include "tests/unit/balance/services.h"

using namespace weir;
using namespace weir::balance;
using namespace weir::balance::test;
using namespace std::chrono_literals;

TEST_CASE("a preferred endpoint is chosen by every balancer, near or far") {
  for (const Balancer balancer :
       {Balancer::automatic, Balancer::round_robin, Balancer::random, Balancer::peak_ewma,
        Balancer::least_request, Balancer::ring_hash, Balancer::maglev}) {
    Service asked =
        service({{"10.0.0.1", "n1", "z1"}, {"10.0.0.2", "n2", "z2"}, {"10.0.0.3", "n3", "z1"}}, balancer);
    asked.locality = LocalityPreference::same_zone;
    asked = published(asked);
    State state(1);
    for (const Endpoint& each : asked.slices[0]->endpoints) {
      Request from = request(asked);
      from.http = true;
      from.hash = 7;
      from.prefer = each.id;
      for (int i = 0; i < 10; ++i) CHECK(pick(from, state)->endpoint == &each);
    }
  }
}

TEST_CASE("a preferred endpoint that was tried, is not ready, is ejected or unknown is not chosen") {
  const Service asked = published(
      service({{"10.0.0.1"}, {"10.0.0.2"}, {"10.0.0.3", "n1", "z1", false, true, false}}, Balancer::random));
  const auto& endpoints = asked.slices[0]->endpoints;
  State state(1);
  Request from = request(asked);
  from.now = TimePoint(1000s);
  from.http = true;
  const auto seen = [&](uint64_t preferred) {
    from.prefer = preferred;
    std::set<std::string> names;
    for (int i = 0; i < 100; ++i) names.insert(pick(from, state)->endpoint->address.to_string());
    return names;
  };
  using Names = std::set<std::string>;
  CHECK(seen(endpoints[2].id) == Names{"10.0.0.1", "10.0.0.2"});
  CHECK(seen(12345) == Names{"10.0.0.1", "10.0.0.2"});
  const uint64_t tried[] = {endpoints[0].id};
  from.tried = tried;
  CHECK(seen(endpoints[0].id) == Names{"10.0.0.2"});
  from.tried = {};
  CHECK(seen(endpoints[0].id) == Names{"10.0.0.1"});
  for (int i = 0; i < 5; ++i)
    state.request(*pick(from, state), from.now).release({Outcome::Kind::failed, 1ms}, from.now);
  CHECK(seen(endpoints[0].id) == Names{"10.0.0.2"});
}

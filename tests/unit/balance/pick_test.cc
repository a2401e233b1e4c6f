// Which endpoints can be chosen: Kubernetes' rules as tables, and a property over random services (it prints its seed).
#include "nodeproxy/balance/pick.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <random>
#include <set>

#include "tests/unit/balance/services.h"

using namespace weir;
using namespace weir::balance;
using namespace weir::balance::test;

TEST_CASE("an unknown port and a service without endpoints are told apart") {
  State state(1);
  const Service empty = service({});
  Request asked = request(empty);
  CHECK(pick(asked, state).error().reason == Reason::no_endpoint);
  asked.port = 443;
  CHECK(pick(asked, state).error().reason == Reason::unknown_port);
  const Service there = service({{"10.0.0.1"}});
  Request no_such_target = request(there);
  no_such_target.port = 81;  // the service has it, no slice does
  CHECK(pick(no_such_target, state).error().reason == Reason::no_endpoint);
}

TEST_CASE("the target port is the slice's own, by the name of the service's port") {
  Service two = service({{"10.0.0.1"}});
  two.slices.push_back(slice({{"10.0.0.2"}}, 8081));
  two.slices.push_back(slice({{"10.0.0.3"}}, 8082, "other"));
  State state(1);
  std::map<std::string, uint16_t> seen;
  for (int i = 0; i < 100; ++i) {
    const auto choice = pick(request(two), state);
    REQUIRE(choice.has_value());
    CHECK(choice->service_port->port == 80);
    seen[choice->address().ip.to_string()] = choice->address().port;
  }
  CHECK(seen == std::map<std::string, uint16_t>{{"10.0.0.1", 8080}, {"10.0.0.2", 8081}});
  Request metrics = request(two);
  metrics.port = 9090;
  CHECK(pick(metrics, state)->address().port == 9090);
}

TEST_CASE("only endpoints of the family that was dialled are chosen") {
  const Service dual = service({{"10.0.0.1"}, {"fd00::1"}});
  Request asked = request(dual);
  CHECK(reachable(asked) == "10.0.0.1");
  asked.v4 = false;
  CHECK(reachable(asked) == "fd00::1");
  const Service v6_only = service({{"fd00::1"}});
  CHECK(reachable(request(v6_only)).empty());
}

TEST_CASE("ready endpoints first, then serving ones that terminate, never the others") {
  const Spec ready{"10.0.0.1"};
  const Spec terminating{"10.0.0.2", "n1", "z1", false, true, true};
  const Spec not_ready{"10.0.0.3", "n1", "z1", false, false, false};
  const Spec dead{"10.0.0.4", "n1", "z1", false, false, true};
  const Spec starting{"10.0.0.5", "n1", "z1", false, true, false};
  struct Row {
    std::vector<Spec> endpoints;
    const char* chosen;
    const char* with_publish_not_ready;
  };
  for (const Row& row : {
           Row{{ready, terminating, not_ready, dead}, "10.0.0.1", "10.0.0.1 10.0.0.2 10.0.0.3 10.0.0.4"},
           Row{{terminating, not_ready, dead}, "10.0.0.2", "10.0.0.2 10.0.0.3 10.0.0.4"},
           Row{{not_ready, dead, starting}, "", "10.0.0.3 10.0.0.4 10.0.0.5"},
       }) {
    Service asked = service(row.endpoints);
    CHECK(reachable(request(asked)) == row.chosen);
    asked.publish_not_ready = true;
    CHECK(reachable(request(asked)) == row.with_publish_not_ready);
  }
}

TEST_CASE(
    "a tried endpoint is left out, and when all ready ones were tried the terminating ones still are not "
    "asked") {
  const Service asked = service({{"10.0.0.1"}, {"10.0.0.2"}, {"10.0.0.3", "n1", "z1", false, true, true}});
  for (const auto balancer : {Balancer::least_connections, Balancer::round_robin, Balancer::random}) {
    Service with = asked;
    with.balancer = balancer;
    for (const uint32_t affinity : {0U, 10U}) {
      with.session_affinity_seconds = affinity;
      Request again = request(with);
      const uint64_t first[] = {with.slices[0]->endpoints[0].id};
      again.tried = first;
      CHECK(reachable(again) == "10.0.0.2");
      const uint64_t both[] = {with.slices[0]->endpoints[0].id, with.slices[0]->endpoints[1].id};
      again.tried = both;
      CHECK(reachable(again).empty());
    }
  }
}

TEST_CASE("weight 0 is never chosen, not even when nothing else is there") {
  for (const auto balancer : {Balancer::least_connections, Balancer::round_robin, Balancer::random}) {
    const Service some = service({{.address = "10.0.0.1", .weight = 0}, {.address = "10.0.0.2"}}, balancer);
    CHECK(reachable(request(some)) == "10.0.0.2");
    const Service none = service({{.address = "10.0.0.1", .weight = 0}}, balancer);
    CHECK(reachable(request(none)).empty());
  }
}

TEST_CASE("internal traffic policy Local keeps to the client's node and never overflows") {
  Service local =
      service({{"10.0.0.1", "n1"}, {"10.0.0.2", "n2"}, {"10.0.0.3", "n1", "z1", false, true, true}});
  local.internal_traffic_local = true;
  CHECK(reachable(request(local)) == "10.0.0.1");
  Request elsewhere = request(local);
  elsewhere.node = "n2";
  CHECK(reachable(elsewhere) == "10.0.0.2");
  elsewhere.node = "n3";
  CHECK(reachable(elsewhere).empty());
  elsewhere.node = "";
  CHECK(reachable(elsewhere).empty());
  // None ready on the node: its own terminating one, though others are ready elsewhere.
  Service leaving = service({{"10.0.0.2", "n2"}, {"10.0.0.3", "n1", "z1", false, true, true}});
  leaving.internal_traffic_local = true;
  CHECK(reachable(request(leaving)) == "10.0.0.3");
}

TEST_CASE("a locality preference takes the nearest that is usable, by hints where there are any") {
  using enum LocalityPreference;
  const Spec here{"10.0.0.1", "n1", "z1"}, zone{"10.0.0.2", "n2", "z1"}, far{"10.0.0.3", "n3", "z2"};
  const Spec far_hinted{.address = "10.0.0.4", .node = "n4", .zone = "z2", .hints = {"z1"}};
  const Spec near_hinted_away{.address = "10.0.0.5", .node = "n5", .zone = "z1", .hints = {"z2", "z3"}};
  const Spec here_not_ready{"10.0.0.6", "n1", "z1", false, false, false};
  const Spec here_weight_0{.address = "10.0.0.7", .weight = 0};
  struct Row {
    LocalityPreference preference;
    const char *node, *zone;
    std::vector<Spec> endpoints;
    const char* chosen;
  };
  for (const Row& row : {
           Row{none, "n1", "z1", {here, zone, far}, "10.0.0.1 10.0.0.2 10.0.0.3"},
           Row{same_zone, "n1", "z1", {here, zone, far}, "10.0.0.1 10.0.0.2"},
           Row{same_zone, "n9", "z2", {here, zone, far}, "10.0.0.3"},
           Row{same_zone, "n9", "z9", {here, zone, far}, "10.0.0.1 10.0.0.2 10.0.0.3"},
           Row{same_zone, "n1", "", {here, zone, far}, "10.0.0.1 10.0.0.2 10.0.0.3"},
           Row{same_zone, "n1", "z1", {far}, "10.0.0.3"},
           Row{same_zone, "n1", "z1", {far_hinted, near_hinted_away}, "10.0.0.4"},
           Row{same_zone, "n1", "z3", {far_hinted, near_hinted_away}, "10.0.0.5"},
           Row{same_zone, "n1", "z1", {here_not_ready, here_weight_0, far}, "10.0.0.3"},
           Row{same_node, "n1", "z1", {here, zone, far}, "10.0.0.1"},
           Row{same_node, "n9", "z1", {here, zone, far}, "10.0.0.1 10.0.0.2"},
           Row{same_node, "n9", "z9", {here, zone, far}, "10.0.0.1 10.0.0.2 10.0.0.3"},
           Row{same_node, "n1", "z1", {here_not_ready, zone, far}, "10.0.0.2"},
           Row{same_node, "n3", "z1", {here, far}, "10.0.0.3"},
       }) {
    Service asked = service(row.endpoints);
    asked.locality = row.preference;
    Request from = request(asked);
    from.node = row.node;
    from.zone = row.zone;
    CAPTURE(row.node, row.zone, row.chosen);
    CHECK(reachable(from) == row.chosen);
  }
}

TEST_CASE("when the near endpoints were tried, the far ones are next") {
  Service asked = service({{"10.0.0.1", "n1", "z1"}, {"10.0.0.3", "n3", "z2"}});
  asked.locality = LocalityPreference::same_zone;
  Request again = request(asked);
  const uint64_t tried[] = {asked.slices[0]->endpoints[0].id};
  again.tried = tried;
  CHECK(reachable(again) == "10.0.0.3");
}

TEST_CASE("whatever the service looks like, a choice is eligible, or there is none") {
  const unsigned seed = std::random_device()();
  CAPTURE(seed);
  std::mt19937 random(seed);
  const auto coin = [&](unsigned sides) { return random() % sides == 0; };
  const std::vector<std::string> zones{"", "z1", "z2"}, nodes{"", "n1", "n2"};
  for (int round = 0; round < 5000; ++round) {
    Service asked = service({}, static_cast<Balancer>(random() % 8));
    asked.slices.clear();
    asked.locality = static_cast<LocalityPreference>(random() % 3);
    asked.internal_traffic_local = coin(4);
    asked.publish_not_ready = coin(4);
    asked.session_affinity_seconds = coin(4) ? 10 : 0;
    std::vector<uint64_t> tried;
    std::set<uint64_t> eligible;
    bool any_ready = false;
    Request from = request(asked);
    from.v4 = coin(2);
    from.node = nodes[random() % 3];
    from.zone = zones[random() % 3];
    std::vector<Endpoint> all;
    for (unsigned s = 0; s < random() % 3; ++s) {
      std::vector<Spec> specs;
      auto made = std::make_shared<EndpointSlice>(*slice({}));
      for (unsigned e = 0; e < random() % 5; ++e) {
        const std::string address = (coin(2) ? "10.0.0." : "fd00::") + std::to_string(100 + all.size());
        Endpoint each = endpoint({.address = address.c_str()});
        each.ready = coin(2);
        each.serving = coin(2);
        each.terminating = coin(2);
        each.weight = coin(4) ? 0 : static_cast<uint32_t>(random() % 200);
        each.node = nodes[random() % 3];
        each.locality.zone = zones[random() % 3];
        if (coin(3)) tried.push_back(each.id);
        made->endpoints.push_back(each);
        all.push_back(each);
      }
      asked.slices.push_back(std::move(made));
    }
    from.tried = tried;
    from.http = coin(2);
    if (coin(2)) from.hash = random();
    if (!all.empty() && coin(4)) from.prefer = all[random() % all.size()].id;
    asked.traffic.slow_start = std::chrono::milliseconds(coin(2) ? 10'000 : 0);
    for (const Endpoint& each : all) {
      if (each.weight == 0 || each.address.is_v4() != from.v4) continue;
      if (asked.internal_traffic_local && (from.node.empty() || each.node != from.node)) continue;
      any_ready = any_ready || each.ready || asked.publish_not_ready;
    }
    for (const Endpoint& each : all) {
      const bool ready = each.ready || asked.publish_not_ready;
      if (each.weight == 0 || each.address.is_v4() != from.v4) continue;
      if (asked.internal_traffic_local && (from.node.empty() || each.node != from.node)) continue;
      if (any_ready ? !ready : !(each.serving && each.terminating)) continue;
      if (std::find(tried.begin(), tried.end(), each.id) == tried.end()) eligible.insert(each.id);
    }
    State state(random());
    const auto choice = pick(from, state);
    REQUIRE(choice.has_value() == !eligible.empty());
    if (choice) REQUIRE(eligible.contains(choice->endpoint->id));
    if (from.prefer && eligible.contains(*from.prefer)) REQUIRE(choice->endpoint->id == *from.prefer);
  }
}

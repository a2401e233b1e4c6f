// Ring hash and Maglev as a service's balancer: what makes a request stay at its endpoint, and what may move it.
#include <catch2/catch.hpp>
#include <map>
#include <set>

#include "nodeproxy/balance/pick.h"
#include "tests/unit/balance/services.h"

using namespace weir;
using namespace weir::balance;
using namespace weir::balance::test;
using namespace std::chrono_literals;

namespace {

constexpr Balancer kHashing[] = {Balancer::ring_hash, Balancer::maglev};

Request keyed(const Service& service, uint64_t key) {
  Request from = request(service);
  from.http = true;
  from.hash = mix(key);
  from.now = TimePoint(1000s);
  return from;
}

}  // namespace

TEST_CASE("all workers and proxies agree on a key's endpoint, in whatever order they know the endpoints") {
  for (const Balancer balancer : kHashing) {
    const Service here = published(service_of(50, balancer));
    Service there = service_of(50, balancer);
    auto one = std::make_shared<EndpointSlice>(*there.slices[0]),
         other = std::make_shared<EndpointSlice>(*one);
    std::reverse(one->endpoints.begin(), one->endpoints.end());
    other->endpoints.assign(one->endpoints.begin(), one->endpoints.begin() + 20);
    one->endpoints.erase(one->endpoints.begin(), one->endpoints.begin() + 20);
    there.slices = {one, other};
    there = published(there);
    State first(1), second(2);
    std::set<uint64_t> used;
    for (uint64_t key = 0; key < 2000; ++key) {
      const uint64_t id = pick(keyed(here, key), first)->endpoint->id;
      CHECK(pick(keyed(there, key), second)->endpoint->id == id);
      used.insert(id);
    }
    CHECK(used.size() == 50);
  }
}

TEST_CASE("an ejected endpoint's keys move, no others, and come back with it") {
  for (const Balancer balancer : kHashing) {
    const Service asked = published(service_of(10, balancer));
    State state(1), untouched(2);
    const uint64_t bad = asked.slices[0]->endpoints[4].id;
    Request from = keyed(asked, 0);
    for (int i = 0; i < 5; ++i) {
      auto choice = *pick(from, state);
      choice.member = choice.group->members().find(bad);
      state.request(choice, from.now).release({Outcome::Kind::failed, 1ms}, from.now);
    }
    std::set<uint64_t> heirs;
    for (uint64_t key = 0; key < 3000; ++key) {
      from.hash = mix(key);
      const uint64_t was = pick(from, untouched)->endpoint->id, is = pick(from, state)->endpoint->id;
      REQUIRE(is != bad);
      if (was == bad) heirs.insert(is);
      if (was != bad) REQUIRE(is == was);
    }
    CHECK(heirs.size() == 9);
    from.now += 31s;
    for (uint64_t key = 0; key < 3000; ++key) {
      from.hash = mix(key);
      REQUIRE(pick(from, state)->endpoint->id == pick(from, untouched)->endpoint->id);
    }
  }
}

TEST_CASE("a retry goes elsewhere, the same way for the same key, until nobody is left") {
  for (const Balancer balancer : kHashing) {
    const Service asked = published(service_of(4, balancer));
    State state(1), another(2);
    std::vector<uint64_t> tried;
    for (int i = 0; i < 4; ++i) {
      Request from = keyed(asked, 99);
      from.tried = tried;
      const uint64_t id = pick(from, state)->endpoint->id;
      CHECK(pick(from, another)->endpoint->id == id);
      CHECK(std::find(tried.begin(), tried.end(), id) == tried.end());
      tried.push_back(id);
    }
    Request from = keyed(asked, 99);
    from.tried = tried;
    CHECK(pick(from, state).error().reason == Reason::no_endpoint);
  }
}

TEST_CASE("a request without the value is balanced by load, an opaque connection hashed by its client") {
  for (const Balancer balancer : kHashing) {
    const Service asked = published(service_of(2, balancer));
    State state(1);
    Request from = request(asked);
    from.http = true;
    const auto busy = pick(from, state);
    const auto lease = state.request(*busy, from.now);
    for (int i = 0; i < 50; ++i) CHECK(pick(from, state)->endpoint != busy->endpoint);
    from.http = false;
    std::map<std::string, uint64_t> of_client;
    std::set<uint64_t> used;
    for (int round = 0; round < 2; ++round) {
      for (int i = 0; i < 100; ++i) {
        const std::string client = "10.9.0." + std::to_string(i);
        from.client = ip(client);
        const uint64_t id = pick(from, state)->endpoint->id;
        CHECK(of_client.try_emplace(client, id).first->second == id);
        used.insert(id);
      }
    }
    CHECK(used.size() == 2);
  }
}

TEST_CASE("a table is not built again while the set is the same, and is when it changes") {
  for (const Balancer balancer : kHashing) {
    const Service asked = published(service_of(30, balancer)), same = published(service_of(30, balancer));
    const Service grown = published(service_of(31, balancer));
    State state(1);
    const auto builds = [&](const Service& service) {
      return pick(keyed(service, 1), state)->group->eligible().tier(0).table_builds;
    };
    CHECK(builds(asked) == 1);
    CHECK(builds(asked) == 1);
    CHECK(builds(same) == 1);
    CHECK(builds(grown) == 2);
    CHECK(builds(grown) == 2);
    Service heavier = service_of(31, balancer);
    auto slice = std::make_shared<EndpointSlice>(*heavier.slices[0]);
    slice->endpoints[7].weight = 200;
    heavier.slices = {slice};
    heavier = published(heavier);
    CHECK(builds(heavier) == 3);
  }
}

TEST_CASE("tables of services long unused make room for others") {
  Groups::Limits limits;
  limits.table_bytes_max = 1 << 20;
  State state(1, limits);
  std::vector<Service> services;
  for (int i = 0; i < 40; ++i) {
    Service made = service_of(3, Balancer::maglev);
    made.name = "shop/web-" + std::to_string(i);
    services.push_back(published(made));
  }
  TimePoint now(1000s);
  for (const Service& each : services) {
    Request from = keyed(each, 1);
    from.now = now += 2s;
    REQUIRE(pick(from, state));
    CHECK(state.groups().table_bytes() <= limits.table_bytes_max);
  }
  CHECK(state.groups().size() >= 6);
}

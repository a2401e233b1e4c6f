// What clients of a service feel of its bad endpoints, with default settings: simulated, so that seeds and minutes are
// cheap.
#include <catch2/catch.hpp>

#include "tests/unit/balance/simulation.h"

using namespace weir;
using namespace weir::balance;
using namespace weir::balance::test;

namespace {

const Service& five() {
  static const Service service = published(service_of(5, Balancer::automatic));
  return service;
}

Report run(const std::vector<Server>& servers, const Load& load, const Service& service = five()) {
  return Simulation(service, servers, load).run();
}

std::vector<Server> with_slow_one(std::vector<Server> servers) {
  servers[2].delay_ms = 200;
  return servers;
}

}  // namespace

TEST_CASE("one pod of five slowed by 200 ms: the 99th percentile of all stays within 1.5 times") {
  for (const double rate : {10.0, 100.0, 1000.0, 4000.0}) {
    for (const double spread : {0.2, 0.5, 1.0}) {
      for (unsigned seed = 1; seed <= 3; ++seed) {
        CAPTURE(rate, spread, seed);
        const std::vector<Server> healthy(5, Server{.spread = spread});
        const Load load{.per_second = rate, .seconds = std::max(30.0, 10'000 / rate), .seed = seed};
        Report usual = run(healthy, load), slowed = run(with_slow_one(healthy), load);
        CHECK(slowed.percentile(0.99) < 1.5 * usual.percentile(0.99));
        CHECK(slowed.percentile(0.5) < 1.1 * usual.percentile(0.5));
        CHECK(slowed.share(2) < 0.01);
        for (const size_t other : {0, 1, 3, 4}) CHECK(slowed.share(other) > 0.17);
      }
    }
  }
}

TEST_CASE("round robin would let everybody feel one slow pod of five") {
  const Service turns = published(service_of(5, Balancer::round_robin));
  Report slowed = run(with_slow_one(std::vector<Server>(5)), {.per_second = 100, .seconds = 60}, turns);
  CHECK(slowed.share(2) == Approx(0.2).margin(0.001));
  CHECK(slowed.percentile(0.99) > 200);
}

TEST_CASE("a pod that becomes slow is noticed after a few requests, and has its share back when it is over") {
  for (const double rate : {100.0, 1000.0}) {
    for (unsigned seed = 1; seed <= 3; ++seed) {
      CAPTURE(rate, seed);
      std::vector<Server> servers = with_slow_one(std::vector<Server>(5));
      servers[2].slow_from_s = 30;
      servers[2].slow_to_s = 60;
      const Report slow = run(servers, {.per_second = rate, .seconds = 60, .warm_up_s = 30, .seed = seed});
      CHECK(slow.requests[2] <= 12);
      const Report after = run(servers, {.per_second = rate, .seconds = 120, .warm_up_s = 105, .seed = seed});
      CHECK(after.share(2) > 0.12);
    }
  }
}

TEST_CASE("a pod that is tried again rarely at a trickle of requests gets no larger share of them") {
  for (unsigned seed = 1; seed <= 3; ++seed) {
    CAPTURE(seed);
    const Report trickle = run(with_slow_one(std::vector<Server>(5)),
                               {.per_second = 0.5, .seconds = 10'000, .warm_up_s = 100, .seed = seed});
    CHECK(trickle.share(2) < 0.01);
    CHECK(trickle.requests[2] > 0);
  }
}

TEST_CASE("a pod that fails at once does not draw requests by being quick") {
  Service no_ejection = service_of(5, Balancer::automatic);
  no_ejection.traffic.outlier.enabled = false;
  no_ejection = published(no_ejection);
  for (unsigned seed = 1; seed <= 3; ++seed) {
    CAPTURE(seed);
    std::vector<Server> servers(5);
    servers[2].failing = 1;
    const Report all = run(servers, {.per_second = 200, .seconds = 120, .seed = seed}, no_ejection);
    CHECK(all.share(2) < 0.005);
    servers[2].failing = 0.3;
    const Report some = run(servers, {.per_second = 200, .seconds = 120, .seed = seed}, no_ejection);
    CHECK(some.share(2) < 0.06);
  }
}

TEST_CASE("failures everywhere do not hide that one pod is slow") {
  for (unsigned seed = 1; seed <= 5; ++seed) {
    CAPTURE(seed);
    std::vector<Server> servers(5, Server{.failing = 0.02});
    const Load load{.per_second = 1000, .seconds = 30, .seed = seed};
    Report usual = run(servers, load), slowed = run(with_slow_one(servers), load);
    CHECK(slowed.percentile(0.99) < 1.5 * usual.percentile(0.99));
    CHECK(slowed.share(2) < 0.01);
  }
}

TEST_CASE("a pod that can do half of what the others do gets less, and nobody waits in its queue") {
  std::vector<Server> servers(5, Server{.mean_ms = 10, .threads = 8});
  servers[2].threads = 2;  // 200 a second, of a fifth of 2,000
  Report report = run(servers, {.per_second = 2000, .seconds = 30});
  CHECK(report.share(2) < 0.1);
  CHECK(report.share(2) > 0.02);
  CHECK(report.percentile(0.99) < 60);
}

TEST_CASE("peak EWMA keeps the weights of pods that are alike") {
  Service weighted = service({{.address = "10.0.0.1", .weight = 50},
                              {.address = "10.0.0.2", .weight = 100},
                              {.address = "10.0.0.3", .weight = 150},
                              {.address = "10.0.0.4", .weight = 300}},
                             Balancer::peak_ewma);
  weighted = published(weighted);
  // Whether much is in flight or hardly ever anything.
  for (const double rate : {20.0, 20'000.0}) {
    CAPTURE(rate);
    const Report report = run(std::vector<Server>(4, Server{.spread = 0.1, .threads = 1000}),
                              {.per_second = rate, .seconds = 100'000 / rate}, weighted);
    CHECK(report.share(0) == Approx(50.0 / 600).epsilon(0.15));
    CHECK(report.share(1) == Approx(100.0 / 600).epsilon(0.15));
    CHECK(report.share(2) == Approx(150.0 / 600).epsilon(0.15));
    CHECK(report.share(3) == Approx(300.0 / 600).epsilon(0.15));
  }
}

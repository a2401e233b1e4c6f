// What a pick costs, by balancer and number of endpoints: unit_balance "[.benchmark]". Nothing is asserted.
#include <catch2/catch.hpp>
#include <ctime>
#include <string>

#include "nodeproxy/balance/pick.h"
#include "tests/unit/balance/services.h"

using namespace weir;
using namespace weir::balance;
using namespace weir::balance::test;
using namespace std::chrono_literals;

namespace {

// Time of this CPU: what else the machine does is not the balancer's cost.
template <typename Run>
double cost_ns(int times, Run&& run) {
  const std::clock_t start = std::clock();
  for (int i = 0; i < times; ++i) run(i);
  return static_cast<double>(std::clock() - start) * 1e9 / CLOCKS_PER_SEC / times;
}

struct Row {
  const char* name;
  Balancer balancer;
  bool http;
  bool affinity = false;
};

}  // namespace

TEST_CASE("what a pick costs among 3 to 1,000 endpoints", "[.benchmark]") {
  for (const Row& row : {
           Row{"least connections", Balancer::automatic, false},
           Row{"peak EWMA", Balancer::automatic, true},
           Row{"least request", Balancer::least_request, true},
           Row{"round robin", Balancer::round_robin, true},
           Row{"random", Balancer::random, true},
           Row{"ring hash", Balancer::ring_hash, true},
           Row{"Maglev", Balancer::maglev, true},
           Row{"affinity", Balancer::automatic, true, true},
       }) {
    std::string line;
    for (const size_t count : {size_t{3}, size_t{10}, size_t{100}, size_t{1000}}) {
      Service asked = service_of(count, row.balancer);
      asked.session_affinity_seconds = row.affinity ? 60 : 0;
      asked = published(std::move(asked));
      State state(1);
      Request from = request(asked);
      from.http = row.http;
      uint64_t sum = 0;
      const double picked = cost_ns(200'000, [&](int i) {
        from.now += 10us;
        from.hash = mix(static_cast<uint64_t>(i));
        const auto choice = pick(from, state);
        sum += choice->endpoint->id;
      });
      line += "  " + std::to_string(count) + ": " + std::to_string(static_cast<int>(picked)) + " ns";
      CHECK(sum != 1);
    }
    WARN(row.name << line);
  }
}

TEST_CASE("what a request costs from its pick to its outcome", "[.benchmark]") {
  const Service asked = published(service_of(10, Balancer::automatic));
  State state(1);
  Request from = request(asked);
  from.http = true;
  WARN("pick, lease, outcome: " << cost_ns(200'000, [&](int i) {
         from.now += 10us;
         const auto choice = pick(from, state);
         auto lease = state.request(*choice, from.now);
         lease.release({.latency = std::chrono::microseconds(500 + i % 100)}, from.now + 500us);
       }) << " ns");
}

TEST_CASE("what a new list and new tables cost", "[.benchmark]") {
  for (const Balancer balancer : {Balancer::automatic, Balancer::ring_hash, Balancer::maglev}) {
    std::string line;
    for (const size_t count : {size_t{3}, size_t{100}, size_t{1000}, size_t{5000}}) {
      const Service two[] = {published(service_of(count, balancer)),
                             published(service_of(count + 1, balancer))};
      State state(1);
      const double built = cost_ns(30, [&](int i) {
        Request from = request(two[i % 2]);
        from.hash = 7;
        from.http = true;
        REQUIRE(pick(from, state));
      });
      line += "  " + std::to_string(count) + ": " + std::to_string(static_cast<int>(built / 1000)) + " us";
    }
    WARN("balancer " << static_cast<int>(balancer) << line);
  }
}

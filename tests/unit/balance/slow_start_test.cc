// Slow start: how the share of an endpoint grows after it appeared or became ready.
#include <catch2/catch.hpp>

#include "nodeproxy/balance/pick.h"
#include "tests/unit/balance/services.h"

using namespace weir;
using namespace weir::balance;
using namespace weir::balance::test;
using namespace std::chrono_literals;

namespace {

constexpr TimePoint kStart{1000s};

Service growing(const std::vector<Spec>& specs, Balancer balancer = Balancer::random) {
  Service made = service(specs, balancer);
  made.traffic.slow_start = 100s;
  return published(made);
}

double share(const Service& asked, State& state, TimePoint now, const char* address, bool http = false) {
  Request from = request(asked);
  from.now = now;
  from.http = http;
  const int picks = 20'000;
  auto counts = tally(from, state, picks);
  return static_cast<double>(counts[address]) / picks;
}

}  // namespace

TEST_CASE("a new endpoint's share grows from a tenth of its weight to all of it") {
  for (const Balancer balancer : {Balancer::random, Balancer::round_robin, Balancer::least_request}) {
    CAPTURE(static_cast<int>(balancer));
    State state(1);
    const Service before = growing({{"10.0.0.1"}, {"10.0.0.2"}}, balancer);
    const Service after = growing({{"10.0.0.1"}, {"10.0.0.2"}, {"10.0.0.3"}}, balancer);
    share(before, state, kStart, "10.0.0.1");
    CHECK(share(after, state, kStart, "10.0.0.3") == Approx(0.1 / 2.1).epsilon(0.1));
    CHECK(share(after, state, kStart + 5s, "10.0.0.3") == Approx(0.1 / 2.1).epsilon(0.1));
    CHECK(share(after, state, kStart + 50s, "10.0.0.3") == Approx(0.5 / 2.5).epsilon(0.1));
    CHECK(share(after, state, kStart + 100s, "10.0.0.3") == Approx(1.0 / 3).epsilon(0.05));
  }
}

TEST_CASE("endpoints that were there when the worker first looked have nothing to grow into") {
  State state(1);
  const Service all = growing({{"10.0.0.1"}, {.address = "10.0.0.2", .weight = 300}});
  CHECK(share(all, state, kStart, "10.0.0.1") == Approx(0.25).epsilon(0.05));
}

TEST_CASE("an endpoint that was unready starts slowly again, and one that stayed does not") {
  State state(1);
  const Service both = growing({{"10.0.0.1"}, {"10.0.0.2"}});
  const Service one = growing({{"10.0.0.1"}, {"10.0.0.2", "n1", "z1", false, false, false}});
  const Service again = growing({{"10.0.0.1"}, {"10.0.0.2"}});
  CHECK(share(both, state, kStart, "10.0.0.2") == Approx(0.5).epsilon(0.05));
  CHECK(share(one, state, kStart + 1s, "10.0.0.2") == 0);
  CHECK(share(again, state, kStart + 2s, "10.0.0.2") == Approx(0.1 / 1.1).epsilon(0.1));
  CHECK(share(again, state, kStart + 102s, "10.0.0.2") == Approx(0.5).epsilon(0.05));
}

TEST_CASE("when all endpoints are new they share as always") {
  State state(1);
  const Service before = growing({{"10.0.0.1"}});
  const Service after = growing({{"10.0.0.2"}, {"10.0.0.3"}});
  share(before, state, kStart, "10.0.0.1");
  CHECK(share(after, state, kStart + 1s, "10.0.0.2") == Approx(0.5).epsilon(0.05));
}

TEST_CASE("without slow start a new endpoint has its share at once") {
  State state(1);
  const Service before = published(service({{"10.0.0.1"}}, Balancer::random));
  const Service after = published(service({{"10.0.0.1"}, {"10.0.0.2"}}, Balancer::random));
  share(before, state, kStart, "10.0.0.1");
  CHECK(share(after, state, kStart + 1s, "10.0.0.2") == Approx(0.5).epsilon(0.05));
}

TEST_CASE("an endpoint that returns from ejection starts slowly, and a weight of one can grow too") {
  State state(1);
  const Service asked = growing({{.address = "10.0.0.1", .weight = 1}, {.address = "10.0.0.2", .weight = 1}});
  Request from = request(asked);
  from.now = kStart;
  for (int i = 0; i < 5; ++i) {
    auto choice = *pick(from, state);
    choice.member = choice.group->members().find(asked.slices[0]->endpoints[1].id);
    state.request(choice, kStart).release({Outcome::Kind::failed, 1ms}, kStart);
  }
  CHECK(share(asked, state, kStart + 29s, "10.0.0.2") == 0);
  CHECK(share(asked, state, kStart + 30s, "10.0.0.2") == Approx(0.1 / 1.1).epsilon(0.1));
  CHECK(share(asked, state, kStart + 80s, "10.0.0.2") == Approx(0.5 / 1.5).epsilon(0.1));
}

TEST_CASE("a newcomer under peak EWMA is asked, but not flooded, while it is new and unknown") {
  State state(1);
  const Service before = growing({{"10.0.0.1"}, {"10.0.0.2"}}, Balancer::peak_ewma);
  const Service after = growing({{"10.0.0.1"}, {"10.0.0.2"}, {"10.0.0.3"}}, Balancer::peak_ewma);
  const auto serve = [&](const Service& asked, TimePoint now) {
    Request from = request(asked);
    from.now = now;
    from.http = true;
    const auto choice = pick(from, state);
    state.request(*choice, now).release({Outcome::Kind::ok, 5ms}, now + 5ms);
    return choice->endpoint->address == ip("10.0.0.3");
  };
  for (int i = 0; i < 1000; ++i) serve(before, kStart + i * 10ms);
  int new_one = 0;
  for (int i = 0; i < 1000; ++i) new_one += serve(after, kStart + 10s + i * 5ms) ? 1 : 0;
  CHECK(new_one > 0);
  CHECK(new_one < 120);
}

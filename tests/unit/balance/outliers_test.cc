// Ejection, rule by rule: what an endpoint must do to be left out, for how long, and what stops it.
#include "nodeproxy/balance/outliers.h"

#include <catch2/catch.hpp>
#include <set>

#include "nodeproxy/balance/pick.h"
#include "tests/unit/balance/services.h"

using namespace weir;
using namespace weir::balance;
using namespace weir::balance::test;
using namespace std::chrono_literals;

namespace {

constexpr Outcome kOk{Outcome::Kind::ok, 5ms};
constexpr Outcome kFailed{Outcome::Kind::failed, 1ms};

// A service, a worker and a clock. Endpoints are named by their place in the service.
struct Bench {
  explicit Bench(Service made, uint16_t port = 80) : service(published(std::move(made))), port(port) {}

  Request asked() {
    Request from = request(service);
    from.http = true;
    from.now = now;
    from.port = port;
    return from;
  }
  uint64_t id(size_t index) const { return service.slices[0]->endpoints[index].id; }

  // Sends one request to this endpoint, whatever the balancer would say.
  void send(size_t index, const Outcome& outcome, int times = 1) {
    for (int i = 0; i < times; ++i) {
      Choice choice = *pick(asked(), state);
      choice.member = choice.group->members().find(id(index));
      REQUIRE(choice.member != nullptr);
      state.request(choice, now).release(outcome, now);
    }
  }
  // Which endpoints can be chosen now.
  std::set<size_t> chosen() {
    std::set<size_t> seen;
    for (int i = 0; i < 300; ++i) {
      const uint64_t id = pick(asked(), state)->endpoint->id;
      for (size_t at = 0; at < service.slices[0]->endpoints.size(); ++at)
        if (this->id(at) == id) seen.insert(at);
    }
    return seen;
  }
  std::set<size_t> ejected() {
    std::set<size_t> seen;
    for (const EjectedView& view : state.ejected(now))
      for (size_t at = 0; at < service.slices[0]->endpoints.size(); ++at)
        if (id(at) == view.endpoint_id) seen.insert(at);
    return seen;
  }

  Service service;
  uint16_t port;
  State state{1};
  TimePoint now{1000s};
};

Service four(Balancer balancer = Balancer::random) { return service_of(4, balancer); }

using Places = std::set<size_t>;

}  // namespace

TEST_CASE("five failures in a row eject an endpoint, whatever the balancer") {
  for (const Balancer balancer :
       {Balancer::random, Balancer::round_robin, Balancer::least_request, Balancer::peak_ewma}) {
    Bench bench(four(balancer));
    bench.send(1, kFailed, 4);
    CHECK(bench.ejected().empty());
    bench.send(1, kFailed);
    CHECK(bench.ejected() == Places{1});
    CHECK(bench.chosen() == Places{0, 2, 3});
    CHECK(bench.state.ejections().at("shop/web") == Ejections{1, 0, 0});
  }
}

TEST_CASE("a success in between begins the count anew, and who gave up says nothing") {
  Bench bench(four());
  for (int i = 0; i < 10; ++i) {
    bench.send(1, kFailed, 4);
    bench.send(1, kOk);
  }
  bench.send(1, {Outcome::Kind::busy, 1ms}, 50);
  CHECK(bench.ejected().empty());
  bench.send(1, kFailed, 4);
  bench.send(1, {Outcome::Kind::abandoned, 1ms}, 3);
  CHECK(bench.ejected().empty());
  bench.send(1, kFailed);
  CHECK(bench.ejected() == Places{1});
}

TEST_CASE("an ejected endpoint returns when its time is over, with a fresh start") {
  Bench bench(four());
  bench.send(1, kFailed, 5);
  bench.now += 29'999ms;
  CHECK(bench.chosen() == Places{0, 2, 3});
  bench.now += 1ms;
  CHECK(bench.chosen() == Places{0, 1, 2, 3});
  CHECK(bench.ejected().empty());
  bench.send(1, kFailed, 4);
  CHECK(bench.ejected().empty());
}

TEST_CASE("what was under way when an endpoint was ejected does not count after its return") {
  Bench bench(four());
  bench.send(1, kFailed, 5);
  bench.send(1, kFailed, 20);
  CHECK(bench.state.ejections().at("shop/web")[0] == 1);
  bench.now += 30s;
  CHECK(bench.chosen() == Places{0, 1, 2, 3});
  bench.send(1, kFailed, 4);
  CHECK(bench.ejected().empty());
}

TEST_CASE("each ejection in a row lasts longer, up to the maximum; quiet intervals take that back") {
  Service made = four();
  made.traffic.outlier.base_ejection = 30s;
  made.traffic.outlier.max_ejection = 80s;
  Bench bench(made);
  for (const auto& [times, lasts] : {std::pair{1U, 30s}, {2U, 60s}, {3U, 80s}, {4U, 80s}}) {
    bench.send(1, kFailed, 5);
    REQUIRE(bench.state.ejected(bench.now).size() == 1);
    const EjectedView view = bench.state.ejected(bench.now)[0];
    CHECK(view.times_in_row == times);
    CHECK(view.until - bench.now == lasts);
    bench.now += lasts;
    bench.chosen();
  }
  bench.now += 25s;  // two whole intervals
  bench.send(1, kFailed, 5);
  CHECK(bench.state.ejected(bench.now)[0].times_in_row == 3);
  bench.now += 1000s;
  bench.chosen();
  bench.now += 1000s;
  bench.send(1, kFailed, 5);
  CHECK(bench.state.ejected(bench.now)[0].times_in_row == 1);
}

TEST_CASE("no more than the panic share is ejected: the next ejection does not happen") {
  for (const auto& [percent, count, most] : {std::tuple{50U, size_t{4}, size_t{2}},
                                             {50U, size_t{5}, size_t{2}},
                                             {10U, size_t{5}, size_t{0}},
                                             {20U, size_t{5}, size_t{1}},
                                             {50U, size_t{1}, size_t{0}},
                                             {100U, size_t{3}, size_t{3}}}) {
    CAPTURE(percent, count);
    Service made = service_of(count, Balancer::random);
    made.traffic.outlier.ejected_percent_max = percent;
    Bench bench(made);
    for (size_t at = 0; at < count; ++at) bench.send(at, kFailed, 20);
    CHECK(bench.ejected().size() == most);
    CHECK(bench.state.ejections().at("shop/web")[0] == most);
    // With all ejected, none is left out.
    CHECK(bench.chosen().size() == (most == count ? count : count - most));
  }
}

TEST_CASE("when endpoints went and the ejected are above the panic share, ejections are ignored") {
  Bench bench(four());
  bench.send(0, kFailed, 5);
  bench.send(1, kFailed, 5);
  REQUIRE(bench.chosen() == Places{2, 3});
  Service fewer = bench.service;
  auto slice = std::make_shared<EndpointSlice>(*fewer.slices[0]);
  slice->endpoints.pop_back();
  fewer.slices = {slice};
  bench.service = published(fewer);
  CHECK(bench.chosen() == Places{0, 1, 2});
  slice = std::make_shared<EndpointSlice>(*four().slices[0]);
  fewer.slices = {slice};
  bench.service = published(fewer);
  CHECK(bench.chosen() == Places{2, 3});
}

TEST_CASE("better an ejected endpoint than one that was tried, or none") {
  Bench bench(service_of(2, Balancer::random));
  bench.send(0, kFailed, 5);
  const uint64_t tried[] = {bench.id(1), bench.id(0)};
  Request again = bench.asked();
  again.tried = std::span(tried).first(1);
  CHECK(pick(again, bench.state)->endpoint->id == bench.id(0));
  again.tried = tried;
  CHECK(pick(again, bench.state).error().reason == Reason::no_endpoint);
}

TEST_CASE("a success rate below the limit ejects after the interval, if there were requests enough") {
  Service made = four();
  made.traffic.outlier.success_rate_percent = 80;
  made.traffic.outlier.consecutive_failures = 1000;
  Bench bench(made);
  bench.send(0, kOk);  // the first interval begins
  const auto interval = [&](size_t at, int ok, int failed) {
    bench.send(at, kOk, ok);
    bench.send(at, kFailed, failed);
  };
  interval(0, 80, 20);  // just at the limit
  interval(1, 79, 21);
  interval(2, 30, 60);  // too few to say
  CHECK(bench.ejected().empty());
  bench.now += 10s;
  bench.send(3, kOk);
  CHECK(bench.ejected() == Places{1});
  CHECK(bench.state.ejected(bench.now)[0].cause == Cause::success_rate);
  CHECK(bench.state.ejections().at("shop/web") == Ejections{0, 1, 0});
  interval(2, 30, 60);  // and what was before does not add up
  bench.now += 10s;
  bench.send(3, kOk);
  CHECK(bench.ejected() == Places{1});
}

TEST_CASE("of many with a bad success rate the worst are ejected, up to the panic share") {
  Service made = four();
  made.traffic.outlier.success_rate_percent = 80;
  made.traffic.outlier.consecutive_failures = 1000;
  Bench bench(made);
  bench.send(0, kOk);
  for (size_t at = 0; at < 4; ++at) {
    bench.send(at, kOk, static_cast<int>(20 * at));
    bench.send(at, kFailed, static_cast<int>(150 - 20 * at));
  }
  bench.now += 10s;
  bench.send(3, kOk);
  CHECK(bench.ejected() == Places{0, 1});
}

TEST_CASE("a latency far above the median's ejects after the interval") {
  Service made = service_of(5, Balancer::random);
  made.traffic.outlier.latency_factor_percent = 300;
  Bench bench(made);
  bench.send(0, kOk);
  for (size_t at = 0; at < 4; ++at) bench.send(at, {Outcome::Kind::ok, at == 2 ? 31ms : 10ms}, 20);
  bench.send(4, {Outcome::Kind::ok, 29ms}, 20);
  bench.now += 10s;
  bench.send(0, kOk);
  CHECK(bench.ejected() == Places{2});
  CHECK(bench.state.ejected(bench.now)[0].cause == Cause::latency);
}

TEST_CASE("latency is not judged among two, or by a few requests") {
  Service made = four();
  made.traffic.outlier.latency_factor_percent = 200;
  Bench bench(made);
  bench.send(2, kOk);
  bench.send(0, {Outcome::Kind::ok, 500ms}, 19);
  bench.send(1, {Outcome::Kind::ok, 500ms}, 19);
  bench.send(2, kOk, 100);
  bench.send(3, kOk, 100);
  bench.now += 10s;
  bench.send(0, kOk);
  CHECK(bench.ejected().empty());
}

TEST_CASE("a service that wants no ejection has none, and ends those it had") {
  Bench bench(four());
  bench.send(1, kFailed, 5);
  REQUIRE(bench.chosen() == Places{0, 2, 3});
  Service off = bench.service;
  off.traffic.outlier.enabled = false;
  bench.service = published(off);
  CHECK(bench.chosen() == Places{0, 1, 2, 3});
  CHECK(bench.ejected().empty());
  bench.send(1, kFailed, 50);
  CHECK(bench.ejected().empty());
}

TEST_CASE("ports of a service are judged apart, and opaque connections heed ejection too") {
  Bench bench(four());
  bench.send(1, kFailed, 5);
  bench.port = 9090;
  CHECK(bench.chosen() == Places{0, 1, 2, 3});
  bench.port = 80;
  Request opaque = bench.asked();
  opaque.http = false;
  for (int i = 0; i < 100; ++i) CHECK(pick(opaque, bench.state)->endpoint->id != bench.id(1));
  const auto views = bench.state.ejected(bench.now);
  REQUIRE(views.size() == 1);
  CHECK(views[0].service == "shop/web");
  CHECK(views[0].port == 80);
  CHECK(views[0].address == bench.service.slices[0]->endpoints[1].address);
}

TEST_CASE("an ejection outlasts new snapshots and a pod's short absence") {
  Bench bench(four());
  bench.send(1, kFailed, 5);
  const Service whole = bench.service;
  Service without = whole;
  auto slice = std::make_shared<EndpointSlice>(*whole.slices[0]);
  slice->endpoints[1].ready = false;
  without.slices = {slice};
  bench.service = published(without);
  CHECK(bench.chosen() == Places{0, 2, 3});
  CHECK(bench.ejected().empty());  // it is not there
  bench.now += 5s;
  bench.service = published(whole);
  CHECK(bench.chosen() == Places{0, 2, 3});
  CHECK(bench.ejected() == Places{1});
}

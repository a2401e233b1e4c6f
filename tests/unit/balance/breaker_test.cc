// Circuit breakers, retry budgets and back-off: what is counted by service.
#include "nodeproxy/balance/breaker.h"

#include <catch2/catch.hpp>
#include <cmath>

#include "nodeproxy/balance/backoff.h"
#include "nodeproxy/balance/state.h"
#include "tests/unit/balance/services.h"

using namespace weir;
using namespace weir::balance;
using namespace weir::balance::test;
using namespace std::chrono_literals;

namespace {

constexpr TimePoint kStart{1000s};

Service limited(uint32_t connections, uint32_t pending, uint32_t requests) {
  Service made = service({});
  made.traffic.circuit_breaker = {connections, pending, requests};
  return made;
}

}  // namespace

TEST_CASE("one more than a service's limit is refused, each kind of use by its own") {
  State state(1);
  const Service asked = limited(1, 2, 3);
  for (const auto& [use, most] : {std::pair{Use::connection, 1}, {Use::pending, 2}, {Use::request, 3}}) {
    std::vector<Permit> permits;
    for (int i = 0; i < most; ++i) {
      auto permit = state.admit(asked, use, kStart);
      REQUIRE(permit.has_value());
      permits.push_back(std::move(*permit));
    }
    CHECK(state.admit(asked, use, kStart).error().reason == Reason::circuit_open);
    permits.pop_back();
    CHECK(state.admit(asked, use, kStart).has_value());
    CHECK(state.uses().find(asked.name)->breaker.count(use) == static_cast<uint32_t>(most - 1));
  }
}

TEST_CASE("services do not share a breaker, and workers do not") {
  State state(1), other_worker(2);
  const Service one = limited(1, 1, 1);
  Service two = limited(1, 1, 1);
  two.name = "shop/other";
  const auto permit = state.admit(one, Use::request, kStart);
  CHECK(state.admit(two, Use::request, kStart).has_value());
  CHECK(other_worker.admit(one, Use::request, kStart).has_value());
  CHECK_FALSE(state.admit(one, Use::request, kStart).has_value());
}

TEST_CASE("a permit counts once, follows its owner when moved, and ends once") {
  State state(1);
  const Service asked = limited(10, 10, 10);
  const auto count = [&] { return state.uses().find(asked.name)->breaker.count(Use::request); };
  {
    Permit first = *state.admit(asked, Use::request, kStart),
           second = *state.admit(asked, Use::request, kStart);
    CHECK(count() == 2);
    Permit moved = std::move(first);
    CHECK(count() == 2);
    moved = std::move(second);
    CHECK(count() == 1);
    moved.release();
    moved.release();
    CHECK(count() == 0);
  }
  CHECK(count() == 0);
}

TEST_CASE("a limit that is lowered refuses until use has come below it") {
  State state(1);
  const Permit first = *state.admit(limited(9, 9, 9), Use::request, kStart);
  Permit second = *state.admit(limited(9, 9, 9), Use::request, kStart);
  CHECK_FALSE(state.admit(limited(9, 9, 1), Use::request, kStart).has_value());
  second.release();
  CHECK_FALSE(state.admit(limited(9, 9, 1), Use::request, kStart).has_value());
}

TEST_CASE("services at rest are forgotten, and one in use is not") {
  State state(1);
  Service asked = service({});
  const Permit held = *state.admit(asked, Use::request, kStart);
  for (int i = 0; i < 50; ++i) {
    asked.name = "shop/web-" + std::to_string(i);
    state.count_request(asked, kStart);
  }
  CHECK(state.uses().size() == 51);
  state.count_request(asked, kStart + 61s);
  CHECK(state.uses().size() == 2);
}

TEST_CASE("retries are a fifth of the requests of the last ten seconds, and ten a second beside") {
  State state(1);
  const Service asked = service({});
  const auto retries = [&](TimePoint now) {
    int count = 0;
    while (state.may_retry(asked, now)) ++count;
    return count;
  };
  CHECK(retries(kStart) == 100);
  for (int i = 0; i < 1000; ++i) state.count_request(asked, kStart + 1s);
  CHECK(retries(kStart + 1s) == 200);
  CHECK(retries(kStart + 9s) == 0);
  CHECK(retries(kStart + 10s) == 100);  // those of the first second have left the window
  CHECK(retries(kStart + 11s) == 0);    // 200 retries and 1,000 requests have left it, 100 retries are in it
  CHECK(retries(kStart + 100s) == 100);
}

TEST_CASE("a budget of nothing allows nothing, and each service has its own") {
  State state(1);
  Service none = service({});
  none.traffic.retry_budget = {0, 0};
  state.count_request(none, kStart);
  CHECK_FALSE(state.may_retry(none, kStart));
  Service half = service({});
  half.name = "shop/other";
  half.traffic.retry_budget = {50, 0};
  CHECK_FALSE(state.may_retry(half, kStart));
  for (int i = 0; i < 4; ++i) state.count_request(half, kStart);
  CHECK(state.may_retry(half, kStart));
  CHECK(state.may_retry(half, kStart));
  CHECK_FALSE(state.may_retry(half, kStart));
}

TEST_CASE("back-off doubles up to its maximum, and jitter is anything from nothing to it") {
  config::Retry retry;
  retry.backoff_base = 25ms;
  retry.backoff_max = 250ms;
  for (const auto& [attempt, longest] : {std::pair{1U, 25ms},
                                         {2U, 50ms},
                                         {3U, 100ms},
                                         {4U, 200ms},
                                         {5U, 250ms},
                                         {6U, 250ms},
                                         {4'000'000'000U, 250ms}}) {
    CAPTURE(attempt);
    CHECK(backoff(retry, attempt, 0) == 0us);
    CHECK(backoff(retry, attempt, UINT64_MAX) == longest);
    CHECK(backoff(retry, attempt, UINT64_MAX / 2) == std::chrono::microseconds(longest) / 2);
  }
  retry.backoff_base = 400ms;
  CHECK(backoff(retry, 1, UINT64_MAX) == 250ms);
  retry.backoff_base = 0ms;
  CHECK(backoff(retry, 9, UINT64_MAX) == 0us);
}

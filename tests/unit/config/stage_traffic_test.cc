// What a TrafficPolicy says of a service, from the wire: defaults, bounds, and a route's word before the service's.
#include <catch2/catch.hpp>

#include "nodeproxy/config/stage.h"
#include "tests/unit/config/updates.h"

using namespace weir;
using namespace weir::config;
using namespace weir::config::test;

namespace {

std::string traffic(const std::string& text) {
  return R"(changed { service { name: "s" traffic { )" + text + " } } }";
}

Traffic read(const std::string& text) {
  const auto staged = stage(update(1, text));
  if (!staged) FAIL(describe(staged.error()));
  return staged->services.at("s")->traffic;
}

}  // namespace

TEST_CASE("a service without a TrafficPolicy, and an empty one, have the defaults of http.md") {
  for (const std::string& text :
       {std::string(R"(changed { service { name: "s" } })"), traffic(""),
        traffic("circuit_breaker { } outlier { } retry_budget { } retry { } pool { }")}) {
    const Traffic read_traffic = read(text);
    CHECK(read_traffic.hash.of == HashKey::Of::source_ip);
    CHECK(read_traffic.circuit_breaker.connections_max == 10'000);
    CHECK(read_traffic.circuit_breaker.pending_max == 1'024);
    CHECK(read_traffic.circuit_breaker.requests_max == 10'000);
    CHECK(read_traffic.outlier.enabled);
    CHECK(read_traffic.outlier.consecutive_failures == 5);
    CHECK(read_traffic.outlier.interval == Milliseconds(10'000));
    CHECK(read_traffic.outlier.base_ejection == Milliseconds(30'000));
    CHECK(read_traffic.outlier.max_ejection == Milliseconds(300'000));
    CHECK(read_traffic.outlier.ejected_percent_max == 50);
    CHECK(read_traffic.retry_budget.percent == 20);
    CHECK(read_traffic.retry_budget.minimum_per_second == 10);
    CHECK(read_traffic.retry.attempts == 1);
    CHECK(read_traffic.pool.idle == Milliseconds(300'000));
    CHECK(read_traffic.pool.age == Milliseconds(0));
    CHECK_FALSE(read_traffic.timeouts.request.has_value());
  }
}

TEST_CASE("what a TrafficPolicy says is read in full") {
  const Traffic said = read(traffic(R"(hash { cookie: "session" } slow_start_ms: 7
    circuit_breaker { connections_max: 1 pending_max: 2 requests_max: 3 }
    outlier { disabled: true consecutive_failures: 4 success_rate_percent: 90 latency_factor_percent: 300
      interval_ms: 5 base_ejection_ms: 6 max_ejection_ms: 8 ejected_percent_max: 9 }
    retry_budget { percent: 11 minimum_per_second: 12 } retry { attempts: 2 methods: "POST" backoff_base_ms: 13
      backoff_max_ms: 14 } timeouts { request_ms: 15 idle_ms: 16 }
    pool { idle_ms: 17 age_ms: 18 warm: 19 requests_per_connection_max: 20 })"));
  CHECK(said.hash.of == HashKey::Of::cookie);
  CHECK(said.hash.name == "session");
  CHECK(said.slow_start == Milliseconds(7));
  CHECK(said.circuit_breaker.requests_max == 3);
  CHECK_FALSE(said.outlier.enabled);
  CHECK(said.outlier.success_rate_percent == 90);
  CHECK(said.outlier.latency_factor_percent == 300);
  CHECK(said.outlier.max_ejection == Milliseconds(8));
  CHECK(said.outlier.ejected_percent_max == 9);
  CHECK(said.retry_budget.percent == 11);
  CHECK(said.retry_budget.minimum_per_second == 12);
  CHECK(said.retry.attempts == 2);
  CHECK(said.retry.methods == std::vector<std::string>{"POST"});
  CHECK(said.retry.backoff_base == Milliseconds(13));
  CHECK(said.retry.backoff_max == Milliseconds(14));
  CHECK(said.timeouts.request == Milliseconds(15));
  CHECK_FALSE(said.timeouts.backend_request.has_value());
  CHECK(said.timeouts.idle == Milliseconds(16));
  CHECK(said.pool.warm == 19);
  CHECK(said.pool.requests_per_connection_max == 20);
  CHECK(read(traffic("hash { header: \"x-user\" }")).hash.name == "x-user");
  CHECK(read(traffic("hash { query: \"q\" }")).hash.of == HashKey::Of::query);
  CHECK(read(traffic("hash { source_ip: true }")).hash.of == HashKey::Of::source_ip);
}

TEST_CASE("retries that are disabled are none, whatever their number") {
  CHECK(read(traffic("retry { disabled: true }")).retry.attempts == 0);
  CHECK(read(traffic("retry { disabled: true attempts: 5 }")).retry.attempts == 0);
}

TEST_CASE("a longest time is never shorter than the first") {
  CHECK(read(traffic("retry { backoff_base_ms: 1000 }")).retry.backoff_max == Milliseconds(1000));
  CHECK(read(traffic("outlier { base_ejection_ms: 400000 }")).outlier.max_ejection == Milliseconds(400'000));
}

TEST_CASE("a balancer of every kind is read") {
  for (const auto& [word, balancer] : {std::pair{"BALANCER_UNSPECIFIED", Balancer::automatic},
                                       {"PEAK_EWMA", Balancer::peak_ewma},
                                       {"LEAST_REQUEST", Balancer::least_request},
                                       {"RING_HASH", Balancer::ring_hash},
                                       {"MAGLEV", Balancer::maglev}}) {
    const auto staged =
        stage(update(1, std::string("changed { service { name: \"s\" balancer: ") + word + " } }"));
    REQUIRE(staged.has_value());
    CHECK(staged->services.at("s")->balancer == balancer);
  }
}

TEST_CASE("broken traffic settings are refused with the service's name and their place") {
  for (const auto& [text, word] : {std::pair{"hash { header: \"a b\" }", "traffic.hash.header"},
                                   {"hash { header: \"te\" }", "framing"},
                                   {"hash { cookie: \"a;b\" }", "traffic.hash.cookie"},
                                   {"hash { query: \"\" }", "traffic.hash.query"},
                                   {"outlier { success_rate_percent: 101 }", "success_rate_percent"},
                                   {"outlier { ejected_percent_max: 101 }", "ejected_percent_max"},
                                   {"outlier { latency_factor_percent: 100 }", "latency_factor_percent"},
                                   {"retry_budget { percent: 101 }", "retry_budget.percent"},
                                   {"retry { attempts: 101 }", "retry.attempts"},
                                   {"retry { statuses: 302 }", "traffic.retry.statuses"},
                                   {"retry { grpc_codes: 0 }", "retry.grpc_codes"},
                                   {"pool { warm: 101 }", "pool.warm"}}) {
    CAPTURE(text);
    const auto staged = stage(update(1, traffic(text)));
    REQUIRE_FALSE(staged.has_value());
    CHECK(staged.error().kind == ResourceKind::service);
    CHECK(staged.error().name == "s");
    CAPTURE(staged.error().text);
    CHECK(staged.error().text.find(word) != std::string::npos);
  }
}

TEST_CASE("a route's time-out goes before its service's, and an explicit zero lifts it") {
  const Timeouts service{Milliseconds(5), Milliseconds(6), {}};
  const Timeouts both = effective({Milliseconds(0), {}, Milliseconds(7)}, service);
  CHECK(both.request == Milliseconds(0));
  CHECK(both.backend_request == Milliseconds(6));
  CHECK(both.idle == Milliseconds(7));
}

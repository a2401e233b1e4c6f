// TrafficPolicy, setting by setting, and the ranges of each.
#include "tests/unit/files/yaml.h"

using namespace weir::agent;

namespace {

std::string policy(const std::string& settings) {
  return traffic_policy("{targetRefs: [{kind: Service, name: web}], " + settings + "}");
}
TrafficPolicy read(const std::string& settings) { return only<TrafficPolicy>(policy(settings)); }

}  // namespace

TEST_CASE("a traffic policy that says nothing leaves everything unsaid") {
  const auto got = only<TrafficPolicy>(traffic_policy("{targetRefs: [{kind: Service, name: web}]}"));
  CHECK(got.attachment.targets.at(0).name == "web");
  CHECK(got.balancer.empty());
  CHECK_FALSE(got.hash);
  CHECK(got.slow_start_ms == 0);
  CHECK_FALSE(got.circuit_breaker);
  CHECK_FALSE(got.outlier_detection);
  CHECK_FALSE(got.retry_budget);
  CHECK_FALSE(got.retry);
  CHECK_FALSE(got.timeouts);
  CHECK_FALSE(got.connection_pool);
}

TEST_CASE("balancer, locality and weights are read") {
  for (const std::string word :
       {"LeastConnections", "RoundRobin", "Random", "PeakEWMA", "LeastRequest", "RingHash", "Maglev"}) {
    CHECK(read("balancer: " + word).balancer == word);
  }
  const auto got = read(
      "locality: {preference: SameZone}, endpointWeights: [{selector: {matchLabels: {v: one}}, weight: 0}]");
  CHECK(got.locality == "SameZone");
  CHECK(got.weights.at(0).weight == 0);
  CHECK(got.weights[0].labels == Labels{{"v", "one"}});
}

TEST_CASE("a consistent balancer hashes one thing") {
  const auto hash = [](const std::string& of) { return *read("balancer: Maglev, hash: {" + of + "}").hash; };
  CHECK(hash("header: X-User") == HashKey{HashKey::Of::header, "X-User"});
  CHECK(hash("cookie: sid") == HashKey{HashKey::Of::cookie, "sid"});
  CHECK(hash("query: user") == HashKey{HashKey::Of::query, "user"});
  CHECK(hash("sourceIP: true") == HashKey{HashKey::Of::source_ip, ""});
  CHECK_FALSE(read("balancer: RingHash").hash);
}

TEST_CASE("the circuit breaker, the outlier detection and the retry budget are read") {
  CHECK(*read("circuitBreaker: {connections: 1, pendingRequests: 2, requests: 3}").circuit_breaker ==
        CircuitBreaker{1, 2, 3});
  CHECK(*read("outlierDetection: {consecutiveFailures: 3, successRate: 90, latencyFactor: 2.5, interval: 5s, "
              "baseEjection: 10s, maxEjection: 1m, maxEjectedPercent: 30}")
             .outlier_detection == OutlierDetection{false, 3, 90, 250, 5'000, 10'000, 60'000, 30});
  CHECK(read("outlierDetection: {disabled: true}").outlier_detection->disabled);
  CHECK(read("outlierDetection: {latencyFactor: 3}").outlier_detection->latency_factor_percent == 300);
  CHECK(*read("retryBudget: {percent: 10, minPerSecond: 5}").retry_budget == RetryBudget{10, 5});
}

TEST_CASE("retries are read, gRPC codes by name or number") {
  CHECK(
      *read(
           "retry: {attempts: 3, codes: [502, 503], grpcCodes: [UNAVAILABLE, 8, CANCELLED, UNAUTHENTICATED], "
           "methods: [GET, POST], backoff: 50ms, maxBackoff: 1s}")
           .retry == Retry{false, 3, {502, 503}, {14, 8, 1, 16}, {"GET", "POST"}, 50, 1'000});
  CHECK(read("retry: {disabled: true}").retry->disabled);
}

TEST_CASE("time-outs are read, and 0s is said: there is none") {
  CHECK(*read("timeouts: {request: 10s, backendRequest: 2s, idle: 1m}").timeouts ==
        Timeouts{10'000, 2'000, 60'000});
  CHECK(read("timeouts: {request: 0s, backendRequest: 2s}").timeouts->request_ms == 0u);
  CHECK_FALSE(read("timeouts: {request: 1s}").timeouts->idle_ms);
}

TEST_CASE("the connection pool and the slow start are read") {
  CHECK(*read("connectionPool: {idle: 1m, maxAge: 1h, warm: 2, maxRequestsPerConnection: 100}")
             .connection_pool == ConnectionPool{60'000, 3'600'000, 2, 100});
  CHECK(read("slowStart: 30s").slow_start_ms == 30'000);
}

TEST_CASE("a traffic policy is refused for what is out of range, unknown, meaningless or empty") {
  CHECK_THAT(refusal(traffic_policy("{balancer: RoundRobin}")),
             Catch::Contains("spec.targetRefs is missing"));
  CHECK_THAT(refusal(traffic_policy("{targetRefs: [{kind: Service, name: a, sectionName: b}]}")),
             Catch::Contains("has no meaning in a TrafficPolicy"));
  for (const auto& [settings, says] : std::vector<std::pair<std::string, std::string>>{
           {"balanser: Random", "spec.balanser is not known"},
           {"balancer: Best", "spec.balancer is 'Best', must be one of: LeastConnections, RoundRobin"},
           {"balancer: Random, hash: {sourceIP: true}", "spec.hash needs balancer RingHash or Maglev"},
           {"balancer: Maglev, hash: {}", "needs exactly one of header, cookie, query, sourceIP"},
           {"balancer: Maglev, hash: {header: a, cookie: b}", "needs exactly one of"},
           {"balancer: Maglev, hash: {sourceIP: false}", "needs exactly one of"},
           {"balancer: Maglev, hash: {header: \"a b\"}", "spec.hash.header is no name"},
           {"balancer: Maglev, hash: {header: Connection}", "is a field of the connection"},
           {"locality: {preference: Near}", "must be one of: None, SameZone, SameNode"},
           {"endpointWeights: [{weight: 1}]", "needs matchLabels"},
           {"slowStart: 30", "spec.slowStart is no duration such as 1h30m, 10s or 250ms: 30"},
           {"slowStart: 1ms", "spec.slowStart must be a duration from 1s to 1h"},
           {"circuitBreaker: {}", "spec.circuitBreaker is empty; leave it out"},
           {"circuitBreaker: {connections: 0}",
            "circuitBreaker.connections must be a number from 1 to 10000000"},
           {"circuitBreaker: {pendingRequests: -1}", "pendingRequests must be a number"},
           {"circuitBreaker: {requests: x}", "circuitBreaker.requests must be a number"},
           {"outlierDetection: {disabled: true, interval: 1s}", "makes what else is said meaningless"},
           {"outlierDetection: {consecutiveFailures: 0}",
            "consecutiveFailures must be a number from 1 to 1000"},
           {"outlierDetection: {successRate: 101}", "successRate must be a number from 1 to 100"},
           {"outlierDetection: {latencyFactor: 1}", "latencyFactor must be a factor from 1.1 to 100"},
           {"outlierDetection: {latencyFactor: 2.}", "latencyFactor must be a factor"},
           {"outlierDetection: {latencyFactor: 2.555}", "latencyFactor must be a factor"},
           {"outlierDetection: {latencyFactor: .5}", "latencyFactor must be a factor"},
           {"outlierDetection: {latencyFactor: 101}", "latencyFactor must be a factor"},
           {"outlierDetection: {interval: 10ms}", "interval must be a duration from 100ms to 1h"},
           {"outlierDetection: {baseEjection: 10m}", "a baseEjection longer than its maxEjection"},
           {"outlierDetection: {maxEjection: 10s}", "a baseEjection longer than its maxEjection"},
           {"outlierDetection: {maxEjection: 25h}", "maxEjection must be a duration from 100ms to 24h"},
           {"outlierDetection: {maxEjectedPercent: 0}", "maxEjectedPercent must be a number from 1 to 100"},
           {"retryBudget: {percent: 0}", "retryBudget.percent must be a number from 1 to 100"},
           {"retryBudget: {minPerSecond: 0}", "retryBudget.minPerSecond must be a number from 1"},
           {"retry: {disabled: true, attempts: 1}", "retry.disabled makes what else is said meaningless"},
           {"retry: {attempts: 0}", "retry.attempts must be a number from 1 to 100"},
           {"retry: {codes: [200]}", "retry.codes[0] must be a number from 400 to 599"},
           {"retry: {grpcCodes: [OK]}", "retry.grpcCodes[0] is no gRPC code such as UNAVAILABLE: OK"},
           {"retry: {grpcCodes: [17]}", "retry.grpcCodes[0] must be a number from 1 to 16"},
           {"retry: {methods: [GET]}", "retry.methods needs codes or grpcCodes"},
           {"retry: {codes: [503], methods: [\"G T\"]}", "retry.methods[0] is no method"},
           {"retry: {backoff: 2m}", "retry.backoff must be a duration from 1ms to 1m"},
           {"retry: {backoff: 1s, maxBackoff: 500ms}", "retry.maxBackoff is shorter than backoff"},
           {"retry: {maxBackoff: 10ms}", "retry.maxBackoff is shorter than backoff"},
           {"timeouts: {request: 1s, backendRequest: 2s}", "timeouts.backendRequest is longer than request"},
           {"timeouts: {connect: 1s}", "timeouts.connect is not known"},
           {"connectionPool: {idle: 0s}", "connectionPool.idle must be a duration from 1s to 24h"},
           {"connectionPool: {maxAge: 100ms}", "connectionPool.maxAge must be a duration from 1s"},
           {"connectionPool: {warm: 101}", "connectionPool.warm must be a number from 0 to 100"},
           {"connectionPool: {maxRequestsPerConnection: 0}",
            "maxRequestsPerConnection must be a number from 1"},
       }) {
    CAPTURE(settings);
    CHECK_THAT(refusal(policy(settings)), Catch::Contains(says));
  }
}

// The vectors of GEP-2257.
TEST_CASE("durations are what the Gateway API says they are") {
  for (const auto& [text, ms] : std::vector<std::pair<std::string, uint32_t>>{{"0h", 0},
                                                                              {"0s", 0},
                                                                              {"0h0m0s", 0},
                                                                              {"1h", 3'600'000},
                                                                              {"30m", 1'800'000},
                                                                              {"10s", 10'000},
                                                                              {"500ms", 500},
                                                                              {"2h30m", 9'000'000},
                                                                              {"150m", 9'000'000},
                                                                              {"7230s", 7'230'000},
                                                                              {"1h30m10s", 5'410'000},
                                                                              {"10s30m1h", 5'410'000},
                                                                              {"100ms200ms300ms", 600},
                                                                              {"00060m", 3'600'000}}) {
    CAPTURE(text);
    CHECK(read("timeouts: {idle: " + text + "}").timeouts->idle_ms == ms);
  }
  for (const std::string text : {"1", "1m1", "1d", "1h30m10s20ms50h", "999999h", "1.5h", "-15m", "s", "1 s",
                                 "1S", "0", "99999h99999h"}) {
    CAPTURE(text);
    CHECK(refusal(policy("timeouts: {idle: " + text + "}")) != "accepted");
  }
}

// TrafficPolicies → Service.traffic, setting by setting and policy by policy.
#include "tests/unit/derive/yaml_world.h"

using namespace weir::agent;

namespace {

struct Shop : YamlWorld {
  Shop() { web(); }
  void policy(const std::string& name, const std::string& settings, int created = 0) {
    std::string time =
        created == 0 ? "" : ", creationTimestamp: 2026-01-0" + std::to_string(created) + "T00:00:00Z";
    add("apiVersion: weir.dev/v1alpha1\nkind: TrafficPolicy\nmetadata: {name: " + name + ", namespace: shop" +
        time + "}\nspec: {targetRefs: [{kind: Service, name: web}], " + settings + "}");
  }
  pb::Service web_service() const { return resource(pb::SERVICE, "shop/web")->service(); }
  pb::Traffic traffic() const { return web_service().traffic(); }
};

}  // namespace

TEST_CASE("a service without a TrafficPolicy says nothing of its traffic") {
  CHECK_FALSE(Shop().web_service().has_traffic());
  Shop shop;
  shop.policy("p", "locality: {preference: SameZone}");
  CHECK_FALSE(shop.web_service().has_traffic());
}

TEST_CASE("every balancer arrives, and the hash of its policy with it") {
  for (const auto& [word, means] :
       {std::pair<std::string, pb::Balancer>{"LeastConnections", pb::LEAST_CONNECTIONS},
        {"RoundRobin", pb::ROUND_ROBIN},
        {"Random", pb::RANDOM},
        {"PeakEWMA", pb::PEAK_EWMA},
        {"LeastRequest", pb::LEAST_REQUEST},
        {"RingHash", pb::RING_HASH},
        {"Maglev", pb::MAGLEV}}) {
    Shop shop;
    shop.policy("p", "balancer: " + word);
    CHECK(shop.web_service().balancer() == means);
    CHECK_FALSE(shop.web_service().has_traffic());
  }
  for (const auto& [hash, means] : {std::pair<std::string, std::string>{"header: X-User", "header: 'X-User'"},
                                    {"cookie: sid", "cookie: 'sid'"},
                                    {"query: q", "query: 'q'"},
                                    {"sourceIP: true", "source_ip: true"}}) {
    Shop shop;
    shop.policy("p", "balancer: Maglev, hash: {" + hash + "}");
    check_text(shop.traffic(), "hash { " + means + " }");
  }
}

TEST_CASE("every setting of a TrafficPolicy arrives") {
  Shop shop;
  shop.policy("p", R"(slowStart: 30s,
    circuitBreaker: {connections: 1, pendingRequests: 2, requests: 3},
    outlierDetection: {consecutiveFailures: 4, successRate: 90, latencyFactor: 2.5, interval: 5s, baseEjection: 6s,
                       maxEjection: 7s, maxEjectedPercent: 8},
    retryBudget: {percent: 9, minPerSecond: 10},
    retry: {attempts: 11, codes: [503], grpcCodes: [UNAVAILABLE], methods: [POST], backoff: 12ms, maxBackoff: 99ms},
    timeouts: {request: 0s, backendRequest: 14ms, idle: 15ms},
    connectionPool: {idle: 16s, maxAge: 17s, warm: 18, maxRequestsPerConnection: 19})");
  check_text(shop.traffic(), R"(
    slow_start_ms: 30000
    circuit_breaker { connections_max: 1 pending_max: 2 requests_max: 3 }
    outlier { consecutive_failures: 4 success_rate_percent: 90 latency_factor_percent: 250 interval_ms: 5000
              base_ejection_ms: 6000 max_ejection_ms: 7000 ejected_percent_max: 8 }
    retry_budget { percent: 9 minimum_per_second: 10 }
    retry { attempts: 11 statuses: 503 grpc_codes: 14 methods: "POST" backoff_base_ms: 12 backoff_max_ms: 99 }
    timeouts { request_ms: 0 backend_request_ms: 14 idle_ms: 15 }
    pool { idle_ms: 16000 age_ms: 17000 warm: 18 requests_per_connection_max: 19 })");
  CHECK(shop.notes().empty());
}

TEST_CASE("what is disabled says only that") {
  Shop shop;
  shop.policy("p", "retry: {disabled: true}, outlierDetection: {disabled: true}");
  check_text(shop.traffic(), "outlier { disabled: true } retry { disabled: true }");
}

TEST_CASE("a back-off ends at ten times its beginning where that is above the default") {
  for (const auto& [backoff, max] :
       {std::pair<std::string, uint32_t>{"25ms", 0}, {"26ms", 260}, {"1m", 600'000}}) {
    Shop shop;
    shop.policy("p", "retry: {backoff: " + backoff + "}");
    CHECK(shop.traffic().retry().backoff_max_ms() == max);
  }
}

TEST_CASE("of two policies the older decides, setting by setting, and the younger is told") {
  Shop shop;
  shop.policy("a", "retry: {attempts: 1}, balancer: Random, slowStart: 1s", 2);
  shop.policy("b", "retry: {attempts: 2}, balancer: Maglev, hash: {header: h}, timeouts: {idle: 1s}", 1);
  CHECK(shop.traffic().retry().attempts() == 2);
  CHECK(shop.web_service().balancer() == pb::MAGLEV);
  CHECK(shop.traffic().slow_start_ms() == 1000);
  CHECK(shop.traffic().timeouts().idle_ms() == 1000);
  CHECK(shop.notes() ==
        "TrafficPolicy shop/a: balancer: TrafficPolicy shop/b, which is older, decides for Service web\n"
        "TrafficPolicy shop/a: retry: TrafficPolicy shop/b, which is older, decides for Service web\n");
}

TEST_CASE("the younger policy's hash does not join the older policy's balancer") {
  Shop shop;
  shop.policy("a", "balancer: RingHash", 1);
  shop.policy("b", "balancer: Maglev, hash: {header: h}", 2);
  CHECK(shop.web_service().balancer() == pb::RING_HASH);
  CHECK_FALSE(shop.web_service().has_traffic());
}

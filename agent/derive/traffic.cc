// TrafficPolicies → what is said of a service's traffic. Each setting (a group such as `retry` is one) comes from the
// oldest policy that has it; the younger ones are told. See context.h.
#include <algorithm>
#include <limits>

#include "agent/derive/context.h"

namespace weir::agent {
namespace {

// The oldest policy that says something about `field`; null: none.
template <typename Said>
const TrafficPolicy* deciding(Context& context, const Service& service,
                              const std::vector<const TrafficPolicy*>& policies, const char* field,
                              Said said) {
  const TrafficPolicy* first = nullptr;
  for (const TrafficPolicy* policy : policies) {
    if (!said(*policy)) continue;
    if (first == nullptr) {
      first = policy;
      continue;
    }
    context.note("TrafficPolicy " + policy->meta.key().text(),
                 std::string(field) + ": TrafficPolicy " + first->meta.key().text() +
                     ", which is older, decides for Service " + service.meta.name,
                 "Conflicted");
  }
  return first;
}

pb::Balancer to_proto(const std::string& balancer) {
  if (balancer == "LeastConnections") return pb::LEAST_CONNECTIONS;
  if (balancer == "RoundRobin") return pb::ROUND_ROBIN;
  if (balancer == "Random") return pb::RANDOM;
  if (balancer == "PeakEWMA") return pb::PEAK_EWMA;
  if (balancer == "LeastRequest") return pb::LEAST_REQUEST;
  if (balancer == "RingHash") return pb::RING_HASH;
  if (balancer == "Maglev") return pb::MAGLEV;
  return pb::BALANCER_UNSPECIFIED;
}

// A TrafficPolicy's word, else the Service's own trafficDistribution.
pb::LocalityPreference locality_of(const TrafficPolicy* policy, const Service& service) {
  const std::string& said = policy != nullptr ? policy->locality : service.traffic_distribution;
  if (policy != nullptr) {
    if (said == "SameZone") return pb::PREFER_SAME_ZONE;
    return said == "SameNode" ? pb::PREFER_SAME_NODE : pb::LOCALITY_NONE;
  }
  if (said == "PreferClose" || said == "PreferSameZone") return pb::PREFER_SAME_ZONE;
  return said == "PreferSameNode" ? pb::PREFER_SAME_NODE : pb::LOCALITY_NONE;
}

void fill(const HashKey& from, pb::HashKey& to) {
  switch (from.of) {
    case HashKey::Of::header: to.set_header(from.name); break;
    case HashKey::Of::cookie: to.set_cookie(from.name); break;
    case HashKey::Of::query: to.set_query(from.name); break;
    case HashKey::Of::source_ip: to.set_source_ip(true); break;
  }
}

void fill(const CircuitBreaker& from, pb::CircuitBreaker& to) {
  to.set_connections_max(from.connections);
  to.set_pending_max(from.pending_requests);
  to.set_requests_max(from.requests);
}

void fill(const OutlierDetection& from, pb::Outlier& to) {
  to.set_disabled(from.disabled);
  to.set_consecutive_failures(from.consecutive_failures);
  to.set_success_rate_percent(from.success_rate_percent);
  to.set_latency_factor_percent(from.latency_factor_percent);
  to.set_interval_ms(from.interval_ms);
  to.set_base_ejection_ms(from.base_ejection_ms);
  to.set_max_ejection_ms(from.max_ejection_ms);
  to.set_ejected_percent_max(from.max_ejected_percent);
}

void fill(const RetryBudget& from, pb::RetryBudget& to) {
  to.set_percent(from.percent);
  to.set_minimum_per_second(from.min_per_second);
}

void fill(const ConnectionPool& from, pb::Pool& to) {
  to.set_idle_ms(from.idle_ms);
  to.set_age_ms(from.age_max_ms);
  to.set_warm(from.warm);
  to.set_requests_per_connection_max(from.requests_per_connection_max);
}

}  // namespace

void fill(const Timeouts& from, pb::Timeouts& to) {
  if (from.request_ms) to.set_request_ms(*from.request_ms);
  if (from.backend_request_ms) to.set_backend_request_ms(*from.backend_request_ms);
  if (from.idle_ms) to.set_idle_ms(*from.idle_ms);
}

void fill(const Retry& from, pb::Retry& to) {
  to.set_disabled(from.disabled);
  to.set_attempts(from.attempts);
  for (const uint32_t status : from.statuses) to.add_statuses(status);
  for (const uint32_t code : from.grpc_codes) to.add_grpc_codes(code);
  for (const auto& method : from.methods) to.add_methods(method);
  to.set_backoff_base_ms(from.backoff_ms);
  to.set_backoff_max_ms(from.backoff_max_ms);
  // A back-off that starts above the default's begin must not end below its own: ten times it, as the defaults are.
  constexpr uint64_t kBaseDefault = 25, kRatio = 10;
  if (from.backoff_max_ms == 0 && from.backoff_ms > kBaseDefault) {
    const uint64_t max = std::min<uint64_t>(kRatio * from.backoff_ms, std::numeric_limits<uint32_t>::max());
    to.set_backoff_max_ms(static_cast<uint32_t>(max));
  }
}

std::vector<const TrafficPolicy*> traffic_of(const Context& context, const ObjectName& service) {
  std::vector<const TrafficPolicy*> out;
  const auto list = context.traffic.find(service.ns);
  if (list == context.traffic.end()) return out;
  for (const TrafficPolicy* policy : list->second) {
    const bool targets = std::ranges::any_of(
        policy->attachment.targets, [&](const TargetRef& target) { return target.name == service.name; });
    if (targets) out.push_back(policy);
  }
  return out;
}

const TrafficPolicy* weights_of(Context& context, const Service& service,
                                const std::vector<const TrafficPolicy*>& policies) {
  return deciding(context, service, policies, "endpointWeights",
                  [](const TrafficPolicy& policy) { return !policy.weights.empty(); });
}

void fill_traffic(Context& context, const Service& service, const std::vector<const TrafficPolicy*>& policies,
                  pb::Service& out) {
  const auto decide = [&](const char* field, auto said) {
    return deciding(context, service, policies, field, said);
  };
  // The hash goes with its balancer.
  if (const auto* p = decide("balancer", [](const TrafficPolicy& t) { return !t.balancer.empty(); })) {
    out.set_balancer(to_proto(p->balancer));
    if (p->hash) fill(*p->hash, *out.mutable_traffic()->mutable_hash());
  }
  out.set_locality(
      locality_of(decide("locality", [](const TrafficPolicy& t) { return !t.locality.empty(); }), service));
  if (const auto* p = decide("slowStart", [](const TrafficPolicy& t) { return t.slow_start_ms != 0; })) {
    out.mutable_traffic()->set_slow_start_ms(p->slow_start_ms);
  }
  const auto group = [&](const char* field, auto member, auto into) {
    const auto* policy = decide(field, [&](const TrafficPolicy& t) { return (t.*member).has_value(); });
    if (policy != nullptr) fill(*(policy->*member), *(out.mutable_traffic()->*into)());
  };
  group("circuitBreaker", &TrafficPolicy::circuit_breaker, &pb::Traffic::mutable_circuit_breaker);
  group("outlierDetection", &TrafficPolicy::outlier_detection, &pb::Traffic::mutable_outlier);
  group("retryBudget", &TrafficPolicy::retry_budget, &pb::Traffic::mutable_retry_budget);
  group("retry", &TrafficPolicy::retry, &pb::Traffic::mutable_retry);
  group("timeouts", &TrafficPolicy::timeouts, &pb::Traffic::mutable_timeouts);
  group("connectionPool", &TrafficPolicy::connection_pool, &pb::Traffic::mutable_pool);
}

}  // namespace weir::agent

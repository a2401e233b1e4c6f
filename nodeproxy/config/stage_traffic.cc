// What a TrafficPolicy or a route says of traffic, from the wire: bounds checked, defaults filled in (mesh.proto names
// them, http.md "Resilience semantics" gives the meaning).
// Thread: config, pure.
#include <algorithm>

#include "nodeproxy/base/http_syntax.h"
#include "nodeproxy/config/stage_value.h"

namespace weir::config {
namespace {

constexpr uint32_t kAttemptsMax = 100;
constexpr uint32_t kWarmMax = 100;
constexpr uint32_t kGrpcCodeMax = 16;  // UNAUTHENTICATED

// `into` keeps its default where the wire says nothing.
void read_count(uint32_t from, uint32_t& into) {
  if (from != 0) into = from;
}
void read_ms(uint32_t from, Milliseconds& into) {
  if (from != 0) into = Milliseconds(from);
}

bool at_most(const char* field, uint32_t value, uint32_t most, std::string& wrong) {
  if (value <= most) return true;
  wrong = fmt::format("{}: {} is above {}", field, value, most);
  return false;
}

bool read_hash(const v1::HashKey& from, HashKey& into, std::string& wrong) {
  switch (from.of_case()) {
    case v1::HashKey::kHeader:
      into.of = HashKey::Of::header;
      return read_field_name("hash.header", from.header(), into.name, wrong);
    case v1::HashKey::kCookie:
      into = {HashKey::Of::cookie, from.cookie()};
      if (http_syntax::is_token(into.name)) return true;
      wrong = fmt::format("hash.cookie: '{}' is no name of a cookie", into.name);
      return false;
    case v1::HashKey::kQuery:
      into = {HashKey::Of::query, from.query()};
      if (!into.name.empty()) return true;
      wrong = "hash.query: is empty";
      return false;
    case v1::HashKey::kSourceIp:
    case v1::HashKey::OF_NOT_SET: break;
  }
  into = {};
  return true;
}

bool read_outlier(const v1::Outlier& from, Outlier& into, std::string& wrong) {
  into.enabled = !from.disabled();
  read_count(from.consecutive_failures(), into.consecutive_failures);
  into.success_rate_percent = from.success_rate_percent();
  into.latency_factor_percent = from.latency_factor_percent();
  read_ms(from.interval_ms(), into.interval);
  read_ms(from.base_ejection_ms(), into.base_ejection);
  read_ms(from.max_ejection_ms(), into.max_ejection);
  into.max_ejection = std::max(into.max_ejection, into.base_ejection);
  read_count(from.ejected_percent_max(), into.ejected_percent_max);
  if (into.latency_factor_percent != 0 && into.latency_factor_percent <= 100) {
    wrong = fmt::format("outlier.latency_factor_percent: {} would eject the median endpoint; above 100, or 0",
                        into.latency_factor_percent);
    return false;
  }
  return at_most("outlier.success_rate_percent", into.success_rate_percent, 100, wrong) &&
         at_most("outlier.ejected_percent_max", into.ejected_percent_max, 100, wrong);
}

bool read_budget(const v1::RetryBudget& from, RetryBudget& into, std::string& wrong) {
  read_count(from.percent(), into.percent);
  read_count(from.minimum_per_second(), into.minimum_per_second);
  return at_most("retry_budget.percent", into.percent, 100, wrong);
}

bool read_pool(const v1::Pool& from, PoolSettings& into, std::string& wrong) {
  read_ms(from.idle_ms(), into.idle);
  into.age = Milliseconds(from.age_ms());
  into.warm = from.warm();
  into.requests_per_connection_max = from.requests_per_connection_max();
  return at_most("pool.warm", into.warm, kWarmMax, wrong);
}

}  // namespace

bool read_retry(const v1::Retry& from, Retry& into, std::string& wrong) {
  read_count(from.attempts(), into.attempts);
  if (!at_most("retry.attempts", into.attempts, kAttemptsMax, wrong)) return false;
  if (from.disabled()) into.attempts = 0;
  for (const uint32_t status : from.statuses()) {
    if (status < 400 || status > 599) {
      wrong = fmt::format("retry.statuses: {} is no failure (400 to 599)", status);
      return false;
    }
    into.statuses.push_back(static_cast<uint16_t>(status));
  }
  for (const uint32_t code : from.grpc_codes()) {
    if (code == 0 || code > kGrpcCodeMax) {
      wrong = fmt::format("retry.grpc_codes: {} is no failure (1 to {})", code, kGrpcCodeMax);
      return false;
    }
    into.grpc_codes.push_back(static_cast<uint16_t>(code));
  }
  for (const std::string& method : from.methods()) {
    if (!http_syntax::is_token(method)) {
      wrong = fmt::format("retry.methods: '{}' is no method", method);
      return false;
    }
    into.methods.push_back(method);
  }
  read_ms(from.backoff_base_ms(), into.backoff_base);
  read_ms(from.backoff_max_ms(), into.backoff_max);
  into.backoff_max = std::max(into.backoff_max, into.backoff_base);
  return true;
}

void read_timeouts(const v1::Timeouts& from, Timeouts& into) {
  if (from.has_request_ms()) into.request = Milliseconds(from.request_ms());
  if (from.has_backend_request_ms()) into.backend_request = Milliseconds(from.backend_request_ms());
  if (from.has_idle_ms()) into.idle = Milliseconds(from.idle_ms());
}

bool read_traffic(const v1::Traffic& from, Traffic& into, std::string& wrong) {
  into.slow_start = Milliseconds(from.slow_start_ms());
  read_count(from.circuit_breaker().connections_max(), into.circuit_breaker.connections_max);
  read_count(from.circuit_breaker().pending_max(), into.circuit_breaker.pending_max);
  read_count(from.circuit_breaker().requests_max(), into.circuit_breaker.requests_max);
  read_timeouts(from.timeouts(), into.timeouts);
  if (read_hash(from.hash(), into.hash, wrong) && read_outlier(from.outlier(), into.outlier, wrong) &&
      read_budget(from.retry_budget(), into.retry_budget, wrong) &&
      read_retry(from.retry(), into.retry, wrong) && read_pool(from.pool(), into.pool, wrong)) {
    return true;
  }
  wrong = "traffic." + wrong;
  return false;
}

}  // namespace weir::config

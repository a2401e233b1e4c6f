// TrafficPolicy, read strictly: every number has a range, and a time is a duration with its unit. 0 never stands for
// "the default": who wants the default says nothing. See readers.h, api.md and http.md "Resilience semantics".
#include <algorithm>
#include <array>
#include <string_view>

#include "agent/files/http_words.h"
#include "agent/files/readers.h"

namespace weir::agent {
namespace {

constexpr uint32_t kSecond = 1000, kMinute = 60 * kSecond, kHour = 60 * kMinute, kDay = 24 * kHour;

uint32_t read_duration(const Field& field, uint32_t min_ms, uint32_t max_ms) {
  return field.present() ? field.duration_ms(min_ms, max_ms) : 0;
}

HashKey read_hash(const Field& hash) {
  hash.only({"header", "cookie", "query", "sourceIP"});
  HashKey key;
  int said = 0;
  const auto take = [&](const char* member, HashKey::Of of) {
    if (!hash[member].present()) return;
    ++said;
    key = {of, of == HashKey::Of::header ? read_header_name(hash[member]) : read_token(hash[member])};
  };
  take("header", HashKey::Of::header);
  take("cookie", HashKey::Of::cookie);
  take("query", HashKey::Of::query);
  if (hash["sourceIP"].boolean(false)) ++said;
  if (said != 1) hash.refuse("needs exactly one of header, cookie, query, sourceIP: true");
  return key;
}

CircuitBreaker read_circuit_breaker(const Field& field) {
  field.only({"connections", "pendingRequests", "requests"});
  constexpr uint32_t kMax = 10'000'000;
  return {field["connections"].number_or(0, 1, kMax), field["pendingRequests"].number_or(0, 1, kMax),
          field["requests"].number_or(0, 1, kMax)};
}

// "2.5": a factor with two digits at most behind the point, as a percentage.
uint32_t read_factor(const Field& field) {
  const std::string text = field.needed_text();
  const size_t point = text.find('.');
  std::string digits = text.substr(0, point),
              fraction = point == std::string::npos ? "" : text.substr(point + 1);
  const auto numeric = [](const std::string& part) {
    return part.find_first_not_of("0123456789") == std::string::npos;
  };
  const bool formed = !digits.empty() && digits.size() <= 3 && numeric(digits) && numeric(fraction) &&
                      fraction.size() <= 2 && (point == std::string::npos || !fraction.empty());
  fraction.resize(2, '0');
  const uint32_t percent = formed ? static_cast<uint32_t>(std::stoul(digits + fraction)) : 0;
  if (percent < 110 || percent > 10'000) field.refuse("must be a factor from 1.1 to 100, such as 2.5");
  return percent;
}

OutlierDetection read_outlier_detection(const Field& field) {
  field.only({"disabled", "consecutiveFailures", "successRate", "latencyFactor", "interval", "baseEjection",
              "maxEjection", "maxEjectedPercent"});
  OutlierDetection out;
  out.disabled = field["disabled"].boolean(false);
  if (out.disabled && field.entries().size() > 1)
    field["disabled"].refuse("makes what else is said meaningless");
  out.consecutive_failures = field["consecutiveFailures"].number_or(0, 1, 1000);
  out.success_rate_percent = field["successRate"].number_or(0, 1, 100);
  if (field["latencyFactor"].present()) out.latency_factor_percent = read_factor(field["latencyFactor"]);
  out.interval_ms = read_duration(field["interval"], 100, kHour);
  out.base_ejection_ms = read_duration(field["baseEjection"], 100, kDay);
  out.max_ejection_ms = read_duration(field["maxEjection"], 100, kDay);
  out.max_ejected_percent = field["maxEjectedPercent"].number_or(0, 1, 100);
  // Against the defaults of mesh.proto where one of the two is not said.
  const uint32_t base = out.base_ejection_ms != 0 ? out.base_ejection_ms : 30 * kSecond;
  const uint32_t max = out.max_ejection_ms != 0 ? out.max_ejection_ms : 5 * kMinute;
  if (base > max) field.refuse("has a baseEjection longer than its maxEjection");
  return out;
}

RetryBudget read_retry_budget(const Field& field) {
  field.only({"percent", "minPerSecond"});
  return {field["percent"].number_or(0, 1, 100), field["minPerSecond"].number_or(0, 1, 1'000'000)};
}

// By gRPC's name of it or by number (https://grpc.github.io/grpc/core/md_doc_statuscodes.html); OK is no failure.
uint32_t read_grpc_code(const Field& field) {
  static constexpr auto kCodes = std::to_array<std::string_view>(
      {"CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
       "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE",
       "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED"});
  if (field.is_number()) return field.number(1, kCodes.size());
  const auto found = std::ranges::find(kCodes, std::string_view(field.needed_text()));
  if (found == kCodes.end()) field.refuse("is no gRPC code such as UNAVAILABLE: " + field.text());
  return static_cast<uint32_t>(found - kCodes.begin()) + 1;
}

Retry read_retry(const Field& field) {
  field.only({"disabled", "attempts", "codes", "grpcCodes", "methods", "backoff", "maxBackoff"});
  Retry retry;
  retry.disabled = field["disabled"].boolean(false);
  if (retry.disabled && field.entries().size() > 1)
    field["disabled"].refuse("makes what else is said meaningless");
  retry.attempts = field["attempts"].number_or(0, 1, 100);
  for (const auto& code : field["codes"].items()) retry.statuses.push_back(code.number(400, 599));
  for (const auto& code : field["grpcCodes"].items()) retry.grpc_codes.push_back(read_grpc_code(code));
  for (const auto& method : field["methods"].items()) {
    if (!is_token(method.needed_text())) method.refuse("is no method: " + method.text());
    retry.methods.push_back(method.text());
  }
  if (!retry.methods.empty() && retry.statuses.empty() && retry.grpc_codes.empty()) {
    field["methods"].refuse("needs codes or grpcCodes: it says for which methods they count");
  }
  retry.backoff_ms = read_duration(field["backoff"], 1, kMinute);
  retry.backoff_max_ms = read_duration(field["maxBackoff"], 1, kHour);
  if (field["maxBackoff"].present() &&
      retry.backoff_max_ms < (retry.backoff_ms != 0 ? retry.backoff_ms : 25)) {
    field["maxBackoff"].refuse("is shorter than backoff");
  }
  return retry;
}

ConnectionPool read_connection_pool(const Field& field) {
  field.only({"idle", "maxAge", "warm", "maxRequestsPerConnection"});
  return {read_duration(field["idle"], kSecond, kDay), read_duration(field["maxAge"], kSecond, kDay),
          field["warm"].number_or(0, 0, 100),
          field["maxRequestsPerConnection"].number_or(0, 1, 1'000'000'000)};
}

std::vector<EndpointWeight> read_weights(const Field& weights) {
  std::vector<EndpointWeight> out;
  for (const auto& entry : weights.items()) {
    entry.only({"selector", "weight"});
    entry["selector"].only({"matchLabels"});
    if (!entry["selector"]["matchLabels"].present()) entry["selector"].refuse("needs matchLabels");
    out.push_back({entry["selector"]["matchLabels"].labels(), entry["weight"].number(0, 1'000'000)});
  }
  return out;
}

// A group of settings that is there and empty: the defaults, or a slip? Not guessed.
bool has_group(const Field& group) {
  if (group.present() && group.entries().empty()) group.refuse("is empty; leave it out");
  return group.present();
}

}  // namespace

Timeouts read_timeouts(const Field& timeouts) {
  Timeouts out;
  const auto read = [&](const char* member, std::optional<uint32_t>& into) {
    if (timeouts[member].present()) into = timeouts[member].duration_ms(0, UINT32_MAX);
  };
  read("request", out.request_ms);
  read("backendRequest", out.backend_request_ms);
  read("idle", out.idle_ms);
  // 0 is no limit.
  if (out.request_ms.value_or(0) != 0 && out.backend_request_ms.value_or(0) > *out.request_ms) {
    timeouts["backendRequest"].refuse("is longer than request");
  }
  return out;
}

TrafficPolicy read_traffic_policy(const Field& document) {
  TrafficPolicy policy;
  policy.meta = read_meta(document, true);
  const Field spec = document["spec"];
  spec.only({"targetRefs", "balancer", "hash", "locality", "endpointWeights", "slowStart", "circuitBreaker",
             "outlierDetection", "retryBudget", "retry", "timeouts", "connectionPool"});
  policy.attachment = read_attachment(spec);
  if (policy.attachment.targets.empty()) spec["targetRefs"].refuse("is missing");
  for (const auto& target : spec["targetRefs"].items()) {
    if (target["sectionName"].present()) target["sectionName"].refuse("has no meaning in a TrafficPolicy");
  }
  spec["balancer"].word(
      {"LeastConnections", "RoundRobin", "Random", "PeakEWMA", "LeastRequest", "RingHash", "Maglev"}, 0);
  policy.balancer = spec["balancer"].text();
  if (spec["hash"].present()) {
    if (policy.balancer != "RingHash" && policy.balancer != "Maglev") {
      spec["hash"].refuse("needs balancer RingHash or Maglev");
    }
    policy.hash = read_hash(spec["hash"]);
  }
  const Field locality = spec["locality"];
  locality.only({"preference"});
  locality["preference"].word({"None", "SameZone", "SameNode"}, 0);
  policy.locality = locality["preference"].text();
  policy.weights = read_weights(spec["endpointWeights"]);
  policy.slow_start_ms = read_duration(spec["slowStart"], kSecond, kHour);
  if (has_group(spec["circuitBreaker"]))
    policy.circuit_breaker = read_circuit_breaker(spec["circuitBreaker"]);
  if (has_group(spec["outlierDetection"])) {
    policy.outlier_detection = read_outlier_detection(spec["outlierDetection"]);
  }
  if (has_group(spec["retryBudget"])) policy.retry_budget = read_retry_budget(spec["retryBudget"]);
  if (has_group(spec["retry"])) policy.retry = read_retry(spec["retry"]);
  if (has_group(spec["timeouts"])) {
    spec["timeouts"].only({"request", "backendRequest", "idle"});
    policy.timeouts = read_timeouts(spec["timeouts"]);
  }
  if (has_group(spec["connectionPool"]))
    policy.connection_pool = read_connection_pool(spec["connectionPool"]);
  return policy;
}

}  // namespace weir::agent

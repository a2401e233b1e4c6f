// Differences, quantiles and the table. See graph.h.
#include "agent/cli/graph.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "agent/cli/members.h"
#include "agent/cli/report.h"

namespace weir::agent {
namespace {

using Json = nlohmann::json;

struct Bucket {
  double upper = 0, count = 0;
};
using Buckets = std::map<double, Bucket>;  // by lower bound

std::string key_of(const Json& edge) {
  std::string key;
  for (const char* part : {"reporter", "source", "destination", "service", "protocol", "security"}) {
    key += text_of(edge, part, "") + "\n";
  }
  return key;
}

Buckets buckets_of(const Json& edge) {
  Buckets out;
  for (const Json& bucket : list_of(edge, "buckets")) {
    if (!bucket.is_array() || bucket.size() != 3) continue;
    if (!bucket[0].is_number() || !bucket[1].is_number() || !bucket[2].is_number()) continue;
    out[bucket[0].get<double>()] = {bucket[1].get<double>(), bucket[2].get<double>()};
  }
  return out;
}

// The duration that a share `q` does not exceed, interpolated within its bucket.
double quantile(const Buckets& buckets, double q) {
  double total = 0, below = 0, last = 0;
  for (const auto& [lower, bucket] : buckets) total += bucket.count;
  for (const auto& [lower, bucket] : buckets) {
    if (bucket.count <= 0) continue;
    last = bucket.upper;
    if (below + bucket.count >= q * total) {
      return lower + (bucket.upper - lower) * (q * total - below) / bucket.count;
    }
    below += bucket.count;
  }
  return last;
}

// `null` where there is no earlier sample, or where the counters have gone back since.
EdgeRate rate_of(const Json& before, const Json& after, double seconds) {
  EdgeRate rate{.source = text_of(after, "source"),
                .destination = text_of(after, "destination"),
                .service = text_of(after, "service"),
                .protocol = text_of(after, "protocol"),
                .security = text_of(after, "security"),
                .reporter = text_of(after, "reporter"),
                .requests = after.contains("requests")};
  const auto rise = [&](const char* name) { return real_of(after, name) - real_of(before, name); };
  const double count = rise(rate.requests ? "requests" : "connections");
  rate.per_second = count / seconds;
  rate.success_percent = count > 0 ? 100 * (1 - rise("failures") / count) : 0;
  rate.bytes_per_second = (rise("bytes_sent") + rise("bytes_received")) / seconds;
  Buckets buckets = buckets_of(after);
  for (const auto& [lower, bucket] : buckets_of(before)) buckets[lower].count -= bucket.count;
  rate.p50_ms = quantile(buckets, 0.5);
  rate.p99_ms = quantile(buckets, 0.99);
  return rate;
}

bool went_back(const Json& before, const Json& after) {
  for (const char* name : {"requests", "connections", "bytes_sent", "bytes_received"}) {
    if (real_of(after, name) < real_of(before, name)) return true;
  }
  return false;
}

constexpr const char* kCounters[] = {"requests", "connections", "failures", "bytes_sent", "bytes_received"};

// The edge with every counter at 0.
Json bare(Json edge) {
  for (const char* name : kCounters) {
    if (edge.contains(name)) edge[name] = 0.0;
  }
  edge["buckets"] = Json::array();
  return edge;
}

void add_moved(const Json& before, const Json& after, double seconds, Json& sum) {
  for (const char* name : kCounters) {
    if (!after.contains(name)) continue;
    sum[name] = real_of(sum, name) + (real_of(after, name) - real_of(before, name)) / seconds;
  }
  Buckets all = buckets_of(sum), earlier = buckets_of(before);
  for (const auto& [lower, bucket] : buckets_of(after)) {
    Bucket& to = all[lower];
    to.upper = bucket.upper;
    to.count += (bucket.count - earlier[lower].count) / seconds;
  }
  sum["buckets"] = Json::array();
  for (const auto& [lower, bucket] : all) sum["buckets"].push_back({lower, bucket.upper, bucket.count});
}

std::string bytes_text(double bytes) {
  if (bytes < 1024) return fmt::format("{:.0f} B/s", bytes);
  if (bytes < 1024 * 1024) return fmt::format("{:.1f} KiB/s", bytes / 1024);
  return fmt::format("{:.1f} MiB/s", bytes / 1024 / 1024);
}

}  // namespace

std::vector<EdgeRate> edge_rates(const Json& before, const Json& after, double seconds) {
  std::map<std::string, Json> earlier;
  for (const Json& edge : list_of(before, "edges")) earlier[key_of(edge)] = edge;
  std::vector<EdgeRate> rates;
  for (const Json& edge : list_of(after, "edges")) {
    if (text_of(edge, "security") == "local" && text_of(edge, "reporter") == "destination") continue;
    const auto found = earlier.find(key_of(edge));
    const bool fresh = found == earlier.end() || went_back(found->second, edge);
    EdgeRate rate = rate_of(fresh ? Json() : found->second, edge, seconds);
    if (rate.per_second > 0 || rate.bytes_per_second > 0) rates.push_back(std::move(rate));
  }
  std::ranges::stable_sort(rates, std::greater(), &EdgeRate::per_second);
  return rates;
}

std::vector<EdgeRate> merged_rates(const std::vector<GraphSamples>& proxies) {
  // Of each edge what it moved in a second, in the shape of /graph.
  std::map<std::string, Json> sums;
  for (const auto& [before, after, seconds] : proxies) {
    if (seconds <= 0) continue;
    std::map<std::string, Json> earlier;
    for (const Json& edge : list_of(before, "edges")) earlier[key_of(edge)] = edge;
    for (const Json& edge : list_of(after, "edges")) {
      const std::string key = key_of(edge);
      const auto found = earlier.find(key);
      const bool fresh = found == earlier.end() || went_back(found->second, edge);
      add_moved(fresh ? Json() : found->second, edge, seconds,
                sums.try_emplace(key, bare(edge)).first->second);
    }
  }
  Json edges = Json::array();
  for (auto& [key, sum] : sums) edges.push_back(std::move(sum));
  return edge_rates(Json(), Json{{"edges", std::move(edges)}}, 1);
}

std::string graph_text(const std::vector<EdgeRate>& rates, double seconds) {
  if (rates.empty()) return fmt::format("nothing moved in {:.1f} s\n", seconds);
  std::vector<std::vector<std::string>> rows{{"SOURCE", "DESTINATION", "SERVICE", "PROTOCOL", "SECURITY",
                                              "RATE", "SUCCESS", "P50", "P99", "BYTES", "SEEN BY"}};
  for (const EdgeRate& rate : rates) {
    const auto millis = [&](double value) {
      return rate.requests && rate.per_second > 0 ? fmt::format("{:.1f}ms", value) : std::string("-");
    };
    rows.push_back({rate.source, rate.destination, rate.service, rate.protocol, rate.security,
                    fmt::format("{:.1f} {}/s", rate.per_second, rate.requests ? "req" : "conn"),
                    rate.per_second > 0 ? fmt::format("{:.1f}%", rate.success_percent) : "-",
                    millis(rate.p50_ms), millis(rate.p99_ms), bytes_text(rate.bytes_per_second),
                    rate.reporter});
  }
  return table(rows);
}

Json graph_json(const std::vector<EdgeRate>& rates) {
  Json out = Json::array();
  for (const EdgeRate& rate : rates) {
    Json edge{{"source", rate.source},
              {"destination", rate.destination},
              {"service", rate.service},
              {"protocol", rate.protocol},
              {"security", rate.security},
              {"reporter", rate.reporter},
              {rate.requests ? "requests_per_second" : "connections_per_second", rate.per_second},
              {"success_percent", rate.success_percent},
              {"bytes_per_second", rate.bytes_per_second}};
    if (rate.requests) {
      edge["p50_ms"] = rate.p50_ms;
      edge["p99_ms"] = rate.p99_ms;
    }
    out.push_back(std::move(edge));
  }
  return out;
}

}  // namespace weir::agent

#pragma once
// `weirctl graph`: who calls whom, from two samples of the proxy's /graph. Pure. Thread: any.
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace weir::agent {

// One edge between two samples.
struct EdgeRate {
  std::string source, destination, service, protocol, security, reporter;
  bool requests = false;          // of HTTP; else of opaque connections
  double per_second = 0;          // requests, or connections
  double success_percent = 0;     // of those that ended, failures as /graph counts them
  double p50_ms = 0, p99_ms = 0;  // of requests
  double bytes_per_second = 0;    // both ways
};

// What moved between the samples, the busiest first. Traffic that stays on the node in one pass is reported by both
// ends; its source's report is taken. Other edges are told apart by who reports them, so that nothing is counted twice.
// A counter that has gone back (the proxy was restarted) counts from nothing.
std::vector<EdgeRate> edge_rates(const nlohmann::json& before, const nlohmann::json& after, double seconds);

// The same over many proxies, each with two samples of its own: what they report of one edge is added up.
struct GraphSamples {
  nlohmann::json before, after;
  double seconds = 0;
};
std::vector<EdgeRate> merged_rates(const std::vector<GraphSamples>& proxies);

std::string graph_text(const std::vector<EdgeRate>& rates, double seconds);
nlohmann::json graph_json(const std::vector<EdgeRate>& rates);

}  // namespace weir::agent

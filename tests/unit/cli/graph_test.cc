// What graph makes of two samples.
#include "agent/cli/graph.h"

#include <catch2/catch.hpp>

using namespace weir::agent;
using Json = nlohmann::json;

namespace {

Json http_edge(int requests, int failures, const char* buckets) {
  return {{"reporter", "source"},           {"source", "shop/web"},
          {"destination", "shop/api"},      {"service", "shop/api"},
          {"protocol", "http/1.1"},         {"security", "mtls"},
          {"requests", requests},           {"failures", failures},
          {"bytes_sent", requests},         {"bytes_received", 1024 * requests},
          {"buckets", Json::parse(buckets)}};
}

Json tcp_edge(int connections, int failures) {
  return {{"reporter", "source"},       {"source", "shop/web"}, {"destination", "shop/db"},
          {"service", "shop/db"},       {"protocol", "tcp"},    {"security", "local"},
          {"connections", connections}, {"failures", failures}, {"bytes_sent", 0},
          {"bytes_received", 0}};
}

Json graph_of(std::vector<Json> edges) { return {{"edges", edges}}; }

}  // namespace

TEST_CASE("rates, success and latency are those of the interval, not since the start") {
  // Before: all fast. In the interval: 100 more, of which one in ten fails and all take 10 to 20 ms.
  const auto rates = edge_rates(graph_of({http_edge(1000, 500, "[[0,1,1000]]")}),
                                graph_of({http_edge(1100, 510, "[[0,1,1000],[10,20,100]]")}), 2);
  REQUIRE(rates.size() == 1);
  CHECK(rates[0].requests);
  CHECK(rates[0].per_second == Approx(50));
  CHECK(rates[0].success_percent == Approx(90));
  CHECK(rates[0].p50_ms == Approx(15));
  CHECK(rates[0].p99_ms == Approx(19.9));
  CHECK(rates[0].bytes_per_second == Approx(50 * 1025));
}

TEST_CASE("opaque connections are an edge with connections a second and no latency") {
  const auto rates = edge_rates(graph_of({tcp_edge(10, 0)}), graph_of({tcp_edge(20, 5)}), 5);
  REQUIRE(rates.size() == 1);
  CHECK_FALSE(rates[0].requests);
  CHECK(rates[0].per_second == Approx(2));
  CHECK(rates[0].success_percent == Approx(50));
  CHECK_THAT(graph_text(rates, 5), Catch::Contains("2.0 conn/s") && Catch::Contains("50.0%"));
}

TEST_CASE("an edge that is new, or whose counters went back with a restart, counts from nothing") {
  const Json now = graph_of({http_edge(20, 0, "[[1,2,20]]")});
  for (const Json& before :
       {graph_of({}), graph_of({http_edge(5000, 1, "[[0,1,5000]]")}), Json(), Json("nonsense")}) {
    const auto rates = edge_rates(before, now, 1);
    REQUIRE(rates.size() == 1);
    CHECK(rates[0].per_second == Approx(20));
    CHECK(rates[0].success_percent == Approx(100));
    CHECK(rates[0].p99_ms == Approx(1.99));
  }
}

TEST_CASE("edges on which nothing moved are left out, and the busiest come first") {
  Json busy = http_edge(500, 0, "[]");
  busy["source"] = "shop/busy";
  Json idle = http_edge(7, 0, "[]");
  idle["source"] = "shop/idle";
  const auto rates = edge_rates(graph_of({idle}), graph_of({http_edge(3, 0, "[]"), idle, busy}), 1);
  REQUIRE(rates.size() == 2);
  CHECK(rates[0].source == "shop/busy");
  CHECK(edge_rates(graph_of({idle}), graph_of({idle}), 1).empty());
  CHECK(graph_text({}, 2) == "nothing moved in 2.0 s\n");
}

TEST_CASE("one pass on a node is counted by its source alone; other edges say who saw them") {
  Json local = http_edge(10, 0, "[]"), seen = local, remote = local;
  local["security"] = seen["security"] = "local";
  seen["reporter"] = remote["reporter"] = "destination";
  const auto rates = edge_rates(graph_of({}), graph_of({local, seen, remote}), 1);
  REQUIRE(rates.size() == 2);
  CHECK(rates[0].reporter == "source");
  CHECK(rates[1].reporter == "destination");
  CHECK(rates[1].security == "mtls");
}

TEST_CASE("the table of the graph has a line for each edge with everything that was measured") {
  const auto rates = edge_rates(graph_of({}), graph_of({http_edge(100, 1, "[[10,20,100]]")}), 2);
  const std::string text = graph_text(rates, 2);
  for (const char* part : {"SOURCE", "shop/web", "shop/api", "http/1.1", "mtls", "50.0 req/s", "99.0%",
                           "15.0ms", "19.9ms", "50.0 KiB/s", "source"})
    CHECK_THAT(text, Catch::Contains(part));
  const Json as_json = graph_json(rates);
  CHECK(as_json[0]["requests_per_second"] == 50);
  CHECK_FALSE(as_json[0].contains("connections_per_second"));
}

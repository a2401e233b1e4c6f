// What the proxy says of requests: families, edges of the graph.
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "nodeproxy/admin/reports.h"

namespace weir::admin {
namespace {

using std::chrono::milliseconds;
using telemetry::Protocol;
using telemetry::RequestCounts;
using telemetry::RequestLabels;
using telemetry::WorkerReport;
using Json = nlohmann::json;

RequestCounts row_of(Protocol protocol, const std::string& route = "") {
  RequestLabels labels;
  labels.ends = {telemetry::Reporter::source,
                 telemetry::Security::mtls,
                 {"web", "shop", "spiffe://x/web"},
                 {"api", "shop", "spiffe://x/api"},
                 "shop/api"};
  labels.protocol = protocol;
  labels.route = route;
  RequestCounts row;
  row.labels = std::make_shared<const RequestLabels>(labels);
  return row;
}

WorkerReport report_of(RequestCounts row) {
  WorkerReport report;
  report.requests.push_back(std::move(row));
  return report;
}

const std::string kEnds =
    R"({reporter="source",source_workload="web",source_namespace="shop",source_principal="spiffe://x/web",)"
    R"(destination_workload="api",destination_namespace="shop",destination_principal="spiffe://x/api",)"
    R"(destination_service="shop/api",)";

bool has_line(const std::string& text, const std::string& line) {
  return text.find("\n" + line + "\n") != std::string::npos;
}

TEST_CASE("requests are exported by class, code, reason and route, summed over the workers") {
  RequestCounts http = row_of(Protocol::http_1, "shop/api/canary");
  http.count(200, {}, Reason::none, milliseconds(1));
  http.count(503, {}, Reason::no_endpoint, milliseconds(3));
  http.sent_bytes = 10;
  http.received_bytes = 20;
  http.retries = 2;
  http.in_flight = 4;
  RequestCounts grpc = row_of(Protocol::grpc);
  grpc.count(200, 14, Reason::none, milliseconds(1));
  ProcessView view;
  view.workers = {report_of(http), report_of(http), report_of(grpc)};
  const std::string text = metrics_text(view);
  const std::string labels =
      kEnds + R"(protocol="http/1.1",connection_security="mtls",route="shop/api/canary")";
  CHECK(has_line(text, "weir_requests_total" + labels + R"(,response_class="2xx",reason="none"} 2)"));
  CHECK(has_line(text, "weir_requests_total" + labels + R"(,response_class="5xx",reason="no_endpoint"} 2)"));
  CHECK(has_line(text, "weir_requests_total" + kEnds +
                           R"(protocol="grpc",connection_security="mtls",route="",)"
                           R"(response_class="2xx",grpc_code="14",reason="none"} 1)"));
  CHECK(has_line(text, "weir_request_bytes_total" + labels + "} 20"));
  CHECK(has_line(text, "weir_response_bytes_total" + labels + "} 40"));
  CHECK(has_line(text, "weir_request_retries_total" + labels + "} 4"));
  CHECK(has_line(text, "weir_requests_in_flight" + labels + "} 8"));
  CHECK(has_line(text, "# TYPE weir_requests_in_flight gauge"));
}

TEST_CASE("durations of requests are exported as a histogram with bounds that people write") {
  RequestCounts row = row_of(Protocol::http_2);
  row.count(200, {}, Reason::none, milliseconds(1));
  row.count(200, {}, Reason::none, milliseconds(2));
  row.count(200, {}, Reason::none, std::chrono::minutes(10));
  ProcessView view;
  view.workers = {report_of(row)};
  const std::string text = metrics_text(view);
  const std::string labels = kEnds + R"(protocol="http/2",connection_security="mtls",route="")";
  const auto bucket = [&](const char* bound, int count) {
    return has_line(text, "weir_request_duration_seconds_bucket" + labels + ",le=\"" + bound + "\"} " +
                              std::to_string(count));
  };
  CHECK(bucket("0.0005", 0));
  CHECK(bucket("0.001", 1));
  CHECK(bucket("0.002", 2));
  CHECK(bucket("65.536", 2));
  CHECK(bucket("+Inf", 3));
  CHECK(has_line(text, "weir_request_duration_seconds_count" + labels + "} 3"));
  CHECK(has_line(text, "weir_request_duration_seconds_sum" + labels + "} 600.003"));
}

TEST_CASE("ejections, breakers and upstream connections are exported, and endpoints are no labels") {
  WorkerReport one, other;
  one.ejections.push_back(
      {"shop/api", {3, 0, 1}, {{Ip::parse("10.9.8.7").value(), 80, telemetry::EjectionCause::latency, {}}}});
  other.ejections.push_back({"shop/api", {1, 0, 0}, {}});
  one.breakers.push_back({"shop/api", {0, 7, 0}});
  one.upstream_connections = {2, 3, 4};
  other.upstream_connections = {1, 0, 0};
  ProcessView view;
  view.workers = {one, other};
  const std::string text = metrics_text(view);
  for (const char* line :
       {R"(weir_endpoint_ejections_total{destination_service="shop/api",cause="consecutive_failures"} 4)",
        R"(weir_endpoint_ejections_total{destination_service="shop/api",cause="latency"} 1)",
        R"(weir_endpoints_ejected{destination_service="shop/api"} 1)",
        R"(weir_circuit_breaker_open_total{destination_service="shop/api",limit="pending"} 7)",
        R"(weir_upstream_connections{kind="lane"} 3)", R"(weir_upstream_connections{kind="http/2"} 4)"}) {
    INFO(line);
    CHECK(has_line(text, line));
  }
  CHECK(text.find("10.9.8.7") == std::string::npos);
  const Json status = Json::parse(status_json(view));
  REQUIRE(status["ejected"].size() == 1);
  CHECK(status["ejected"][0]["endpoint"] == "10.9.8.7");
  CHECK(status["ejected"][0]["port"] == 80);
  CHECK(status["ejected"][0]["cause"] == "latency");
}

TEST_CASE("an edge of the graph sums routes and workers, and has quantiles and the buckets they come from") {
  RequestCounts canary = row_of(Protocol::http_1, "shop/api/canary"),
                main = row_of(Protocol::http_1, "shop/api/main");
  for (int i = 0; i < 98; ++i) canary.count(200, {}, Reason::none, milliseconds(2));
  main.count(500, {}, Reason::none, milliseconds(100));
  main.count(200, {}, Reason::none, milliseconds(100));
  main.sent_bytes = 10;
  main.in_flight = 1;
  telemetry::Row connections;
  connections.labels = main.labels->ends;
  connections.opened = 5;
  connections.closed = 2;
  connections.failed[static_cast<size_t>(Reason::refused)] = 1;
  WorkerReport other = report_of(main);
  other.rows.push_back(connections);
  const Json edges = Json::parse(graph_json({report_of(canary), other}))["edges"];
  REQUIRE(edges.size() == 2);
  const Json& http = edges[0];
  CHECK(http["source"] == "shop/web");
  CHECK(http["destination"] == "shop/api");
  CHECK((http["service"] == "shop/api" && http["protocol"] == "http/1.1" && http["security"] == "mtls"));
  CHECK((http["requests"] == 100 && http["failures"] == 1 && http["bytes_sent"] == 10 &&
         http["in_flight"] == 1));
  CHECK(http["p50_ms"].get<double>() == Approx(2).epsilon(0.15));
  CHECK(http["p99_ms"].get<double>() == Approx(100).epsilon(0.15));
  REQUIRE(http["buckets"].size() == 2);
  CHECK(http["buckets"][0][0].get<double>() < 2);
  CHECK(http["buckets"][0][1].get<double>() >= 2);
  CHECK(http["buckets"][0][2] == 98);
  const Json& tcp = edges[1];
  CHECK((tcp["protocol"] == "tcp" && tcp["connections"] == 6 && tcp["failures"] == 1 && tcp["open"] == 3));
}

}  // namespace
}  // namespace weir::admin

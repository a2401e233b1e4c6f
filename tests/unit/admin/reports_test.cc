// What the proxy says of itself: sums over workers, bounded labels, no secrets.
#include "nodeproxy/admin/reports.h"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

namespace weir::admin {
namespace {

telemetry::WorkerReport report_with(uint64_t opened) {
  telemetry::WorkerReport report;
  telemetry::Row row;
  row.labels.reporter = telemetry::Reporter::destination;
  row.labels.security = telemetry::Security::mtls;
  row.labels.service = "shop/web";
  row.opened = opened;
  row.failed[static_cast<size_t>(Reason::denied)] = 1;
  report.rows.push_back(row);
  report.pods.push_back({"pod", 2});
  return report;
}

TEST_CASE("a scrape sums the workers, row by row") {
  ProcessView view;
  view.workers = {report_with(3), report_with(4)};
  const std::string text = metrics_text(view);
  CHECK(text.find("connection_security=\"mtls\"} 7") != std::string::npos);
  CHECK(text.find("reason=\"denied\"} 2") != std::string::npos);
  CHECK(text.find("# TYPE weir_tcp_connections_opened_total counter") != std::string::npos);
}

TEST_CASE("lanes and sessions are told apart by who dialled them, and flows are neither") {
  ProcessView view;
  view.workers = {report_with(1), report_with(1)};
  for (telemetry::WorkerReport& worker : view.workers) {
    worker.live_flows = 5;
    worker.lanes_dialled = 1;
    worker.lanes_accepted = 2;
    worker.sessions_dialled = 30;
    worker.sessions_accepted = 40;
  }
  const std::string text = metrics_text(view);
  CHECK(text.find("weir_lanes{role=\"dialler\"} 2\n") != std::string::npos);
  CHECK(text.find("weir_lanes{role=\"acceptor\"} 4\n") != std::string::npos);
  CHECK(text.find("weir_sessions{role=\"dialler\"} 60\n") != std::string::npos);
  CHECK(text.find("weir_sessions{role=\"acceptor\"} 80\n") != std::string::npos);
  CHECK(text.find("weir_flows 10\n") != std::string::npos);
  const auto status = nlohmann::json::parse(status_json(view));
  CHECK(status["lanes"] == nlohmann::json{{"dialled", 2}, {"accepted", 4}});
  CHECK(status["sessions"] == nlohmann::json{{"dialled", 60}, {"accepted", 80}});
  CHECK(status["flows"] == 10);
}

TEST_CASE("the status names what keeps the proxy from being ready") {
  ProcessView view;
  view.not_ready_because = "no configuration yet";
  view.workers = {report_with(1), report_with(1)};
  view.pods.push_back({"pod", "spiffe://cluster.local/ns/a/sa/b", true});
  view.certificates.push_back({"spiffe://cluster.local/ns/a/sa/b", 1234, ""});
  const auto status = nlohmann::json::parse(status_json(view));
  CHECK(status["ready"] == false);
  CHECK(status["not_ready_because"] == "no configuration yet");
  CHECK(status["pods"][0]["flows"] == 4);
  CHECK(status["pods"][0]["certificate_not_after"] == 1234);
}

TEST_CASE("bytes that are no UTF-8 do not break the JSON") {
  telemetry::FlowView flow;
  flow.pod = "\xff\xfe";
  CHECK_NOTHROW(nlohmann::json::parse(flows_json({flow})));
}

TEST_CASE("a flow says which worker carries it") {
  telemetry::FlowView flow;
  flow.worker = 1;
  CHECK(nlohmann::json::parse(flows_json({flow}))[0]["worker"] == 1);
}

}  // namespace
}  // namespace weir::admin

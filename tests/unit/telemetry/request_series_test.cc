// Rows of requests: found by label set, bounded in number, and what they count.
#include "nodeproxy/telemetry/request_series.h"

#include <catch2/catch.hpp>

namespace weir::telemetry {
namespace {

using std::chrono::milliseconds;

RequestLabels labels_of(const std::string& workload, Protocol protocol = Protocol::http_1) {
  RequestLabels labels;
  labels.ends.source = {"web", "shop", "spiffe://cluster.local/ns/shop/sa/web"};
  labels.ends.destination = {workload, "shop", "spiffe://cluster.local/ns/shop/sa/" + workload};
  labels.ends.service = "shop/" + workload;
  labels.protocol = protocol;
  labels.route = "shop/" + workload + "/canary";
  return labels;
}

const RequestOutcome* outcome_of(const RequestCounts& row, std::string_view response_class,
                                 std::string_view grpc, Reason reason) {
  for (const RequestOutcome& outcome : row.outcomes) {
    if (outcome.class_label() == response_class && outcome.grpc_label() == grpc && outcome.reason == reason)
      return &outcome;
  }
  return nullptr;
}

TEST_CASE("the same labels are one row that stays where it is; a route, a protocol or an end makes another") {
  RequestSeries series;
  RequestRow* row = series.row(labels_of("api"));
  for (int i = 0; i < 1000; ++i) series.row(labels_of("w" + std::to_string(i)));
  CHECK(series.row(labels_of("api")) == row);
  CHECK(series.row(labels_of("api", Protocol::http_2)) != row);
  RequestLabels other = labels_of("api");
  other.route = "shop/api/main";
  CHECK(series.row(other) != row);
  other = labels_of("api");
  other.ends.security = Security::mtls;
  CHECK(series.row(other) != row);
  CHECK(*row->labels == labels_of("api"));
}

TEST_CASE("past the cap requests are counted in rows named other, by reporter, security and protocol alone") {
  RequestSeries series(2);
  RequestRow* first = series.row(labels_of("a"));
  series.row(labels_of("b"));
  RequestRow* other = series.row(labels_of("c"));
  CHECK(other == series.row(labels_of("d")));
  CHECK(other->labels->ends.destination.workload == "other");
  CHECK(other->labels->ends.service == "other");
  CHECK(other->labels->route == "other");
  CHECK(series.row(labels_of("a")) == first);
  for (int i = 0; i < 100; ++i) series.row(labels_of("w" + std::to_string(i), Protocol::grpc));
  CHECK(series.copy().size() == 4);
}

TEST_CASE("outcomes are counted by response class and reason") {
  RequestSeries series;
  RequestRow& row = *series.row(labels_of("api"));
  row.count(200, {}, Reason::none, milliseconds(1));
  row.count(204, {}, Reason::none, milliseconds(1));
  row.count(101, {}, Reason::none, milliseconds(1));
  row.count(503, {}, Reason::no_endpoint, milliseconds(1));
  row.count(503, {}, Reason::none, milliseconds(1));
  row.count(0, {}, Reason::client_reset, milliseconds(1));
  row.count(777, {}, Reason::none, milliseconds(1));
  CHECK(outcome_of(row, "2xx", "", Reason::none)->count == 2);
  CHECK(outcome_of(row, "1xx", "", Reason::none)->count == 1);
  CHECK(outcome_of(row, "5xx", "", Reason::no_endpoint)->count == 1);
  CHECK(outcome_of(row, "5xx", "", Reason::none)->count == 1);
  CHECK(outcome_of(row, "none", "", Reason::client_reset)->count == 1);
  CHECK(outcome_of(row, "other", "", Reason::none)->count == 1);
  CHECK(row.requests() == 7);
}

TEST_CASE("a gRPC call is counted by its code too, and codes that do not exist are one") {
  RequestSeries series;
  RequestRow& row = *series.row(labels_of("api", Protocol::grpc));
  row.count(200, 0, Reason::none, milliseconds(1));
  row.count(200, 14, Reason::none, milliseconds(1));
  row.count(200, 17, Reason::none, milliseconds(1));
  row.count(200, 4'000'000'000, Reason::none, milliseconds(1));
  row.count(200, {}, Reason::stream_reset, milliseconds(1));
  CHECK(outcome_of(row, "2xx", "0", Reason::none)->count == 1);
  CHECK(outcome_of(row, "2xx", "14", Reason::none)->count == 1);
  CHECK(outcome_of(row, "2xx", "other", Reason::none)->count == 2);
  CHECK(outcome_of(row, "2xx", "none", Reason::stream_reset)->count == 1);
  // A status that an HTTP response happens to have in its trailers is no code.
  RequestRow& plain = *series.row(labels_of("api"));
  plain.count(200, 14, Reason::none, milliseconds(1));
  CHECK(outcome_of(plain, "2xx", "", Reason::none)->count == 1);
}

TEST_CASE("failures are 5xx, codes that blame the server, and every reason but an answer of the route") {
  const auto failed = [](uint16_t status, std::optional<uint32_t> grpc, Reason reason) {
    RequestSeries series;
    RequestRow& row = *series.row(labels_of("api", grpc ? Protocol::grpc : Protocol::http_1));
    row.count(status, grpc, reason, milliseconds(1));
    return row.failures() == 1;
  };
  CHECK_FALSE(failed(200, {}, Reason::none));
  CHECK_FALSE(failed(404, {}, Reason::none));
  CHECK_FALSE(failed(302, {}, Reason::redirected));
  CHECK(failed(500, {}, Reason::none));
  CHECK(failed(403, {}, Reason::denied));
  CHECK(failed(0, {}, Reason::client_reset));
  for (const uint32_t code : {2U, 4U, 12U, 13U, 14U, 15U, 99U}) CHECK(failed(200, code, Reason::none));
  for (const uint32_t code : {0U, 1U, 3U, 5U, 6U, 7U, 8U, 9U, 10U, 11U, 16U})
    CHECK_FALSE(failed(200, code, Reason::none));
}

TEST_CASE("rows of two workers add up, outcome by outcome") {
  RequestSeries one, other;
  one.row(labels_of("api"))->count(200, {}, Reason::none, milliseconds(1));
  RequestRow& row = *other.row(labels_of("api"));
  row.count(200, {}, Reason::none, milliseconds(3));
  row.count(403, {}, Reason::denied, milliseconds(3));
  row.in_flight = 2;
  row.sent_bytes = 5;
  row.received_bytes = 6;
  row.retries = 1;
  RequestCounts sum = one.copy().at(0);
  sum.add(other.copy().at(0));
  CHECK(outcome_of(sum, "2xx", "", Reason::none)->count == 2);
  CHECK(outcome_of(sum, "4xx", "", Reason::denied)->count == 1);
  CHECK(sum.requests() == 3);
  CHECK((sum.in_flight == 2 && sum.sent_bytes == 5 && sum.received_bytes == 6 && sum.retries == 1));
}

}  // namespace
}  // namespace weir::telemetry

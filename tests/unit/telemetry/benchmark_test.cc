// What telemetry costs a request: counting it, and its line in the access log. Hidden: run with the tag [.benchmark], in
// a release build, on a quiet machine.
#include <catch2/catch.hpp>
#include <ctime>

#include "nodeproxy/telemetry/record.h"
#include "nodeproxy/telemetry/request_record.h"

namespace weir::telemetry {
namespace {

using TimePoint = RequestRecord::TimePoint;

const Error kInOrder{Source::local, Reason::none, 0, {}};

RequestLabels labels_to(int destination) {
  const std::string name = "recommendations-" + std::to_string(destination);
  RequestLabels labels;
  labels.ends = {Reporter::source,
                 Security::mtls,
                 {"storefront-web", "production", "spiffe://cluster.local/ns/production/sa/storefront-web"},
                 {name, "production", "spiffe://cluster.local/ns/production/sa/" + name},
                 "production/" + name};
  labels.route = "production/recommendations/canary";
  return labels;
}

// ns of this CPU for each of `count` calls: what else the machine does is not telemetry's cost.
template <typename Work>
double cost(int count, Work&& work) {
  const std::clock_t start = std::clock();
  for (int i = 0; i < count; ++i) work(i);
  return static_cast<double>(std::clock() - start) * 1e9 / CLOCKS_PER_SEC / count;
}

std::chrono::nanoseconds duration_of(int i) {
  return std::chrono::microseconds(200 + static_cast<int64_t>(i) * 7919 % 20'000);
}

TEST_CASE("what counting one request costs", "[.benchmark]") {
  RequestSeries series;
  AccessLog log(nullptr);
  Tap tap;
  RequestSink sink{series, log, tap, [] { return TimePoint{}; }};
  std::vector<RequestRow*> rows;
  for (int i = 0; i < 1000; ++i) rows.push_back(series.row(labels_to(i)));
  const int count = 2'000'000;
  WARN("finding the row of a label set: "
       << cost(count, [&, labels = labels_to(7)](int) { series.row(labels); }) << " ns");
  for (const size_t used : {size_t{1}, size_t{1000}}) {
    WARN("counting in a row, " << used << " rows in turn: " << cost(count, [&](int i) {
           rows[static_cast<size_t>(i) % used]->count(i % 50 ? 200 : 404, {}, Reason::none, duration_of(i));
         }) << " ns");
    WARN("a whole record without a line, " << used << " rows in turn: " << cost(count, [&](int i) {
           RequestRecord record(sink, rows[static_cast<size_t>(i) % used], TimePoint{});
           record.describe("GET", "recommendations.production", "/v1/recommendations");
           record.attempt(SocketAddress());
           record.first_byte(TimePoint{} + duration_of(i));
           record.status = 200;
           record.sent_bytes = 100;
           record.received_bytes = 1024;
           record.end(TimePoint{} + duration_of(i), kInOrder);
         }) << " ns");
  }
}

TEST_CASE("what a scrape costs a worker with 10,000 rows", "[.benchmark]") {
  RequestSeries series;
  for (int i = 0; i < 10'000; ++i) series.row(labels_to(i))->count(200, {}, Reason::none, duration_of(i));
  size_t rows = 0;
  WARN("copying them: " << cost(20, [&](int) { rows += series.copy().size(); }) / 1e6 << " ms (" << rows
                        << ")");
  WARN("bytes of a row: " << sizeof(RequestRow));
}

TEST_CASE("what a line of the access log costs", "[.benchmark]") {
  auto writer = LogWriter::open("/dev/null");
  REQUIRE(writer);
  RequestSeries series;
  Series connections;
  AccessLog log(writer->get());
  Sink connection_sink{connections, log};
  Tap tap;
  RequestSink sink{series, log, tap, [] { return TimePoint{}; }};
  RequestRow* row = series.row(labels_to(1));
  const int count = 300'000;
  size_t bytes = 0;
  for (const char* family : {"10.1.2.3:40001", "[fd00:10:1::2:3]:40001"}) {
    const SocketAddress address = SocketAddress::parse(family).value();
    const auto request = [&](int i) {
      RequestRecord record(sink, row, TimePoint{});
      record.describe("GET", "recommendations.production", "/v1/recommendations?user=4711&size=20");
      record.facts.client = address;
      record.facts.source_pod = "production/storefront-web-7c9d8f6b5-x2x4z";
      record.facts.destination_pod = "production/recommendations-1-6f5d4c3b2-abcde";
      record.facts.trace = trace_of_traceparent("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
      record.attempt(address);
      record.first_byte(TimePoint{} + duration_of(i));
      record.status = 200;
      record.received_bytes = 1024;
      record.end(TimePoint{} + duration_of(i), kInOrder);
      if (i % 16 == 0) log.flush();
    };
    WARN("a request with its facts and its line, " << family << ": " << cost(count, request) << " ns");
    const auto connection = [&](int i) {
      Record record(TimePoint{});
      record.facts.labels = row->labels->ends;
      record.facts.client = record.facts.dialled = record.facts.endpoint = address;
      record.facts.source_pod = "production/storefront-web-7c9d8f6b5-x2x4z";
      record.facts.destination_pod = "production/recommendations-1-6f5d4c3b2-abcde";
      record.end(connection_sink, TimePoint{} + duration_of(i), kInOrder);
      if (i % 16 == 0) log.flush();
    };
    WARN("a connection with its facts and its line, " << family << ": " << cost(count, connection) << " ns");
  }
  tap.read({}, {}, 1, TimePoint{});
  AccessLog none(nullptr);
  RequestSink watched{series, none, tap, [] { return TimePoint{}; }};
  {
    RequestRecord record(watched, row, TimePoint{});
    record.describe("GET", "recommendations.production", "/v1/recommendations?user=4711&size=20");
    record.end(TimePoint{}, kInOrder);
  }
  for (const TapLine& line : tap.read(0, {}, 1, TimePoint{}).lines) bytes += line.text.size();
  WARN("bytes of such a line: " << bytes);
}

}  // namespace
}  // namespace weir::telemetry

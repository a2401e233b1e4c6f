// The life of a request: counted once, whatever happens to it, and told in one line.
#include "nodeproxy/telemetry/request_record.h"

#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "nodeproxy/telemetry/record.h"

namespace weir::telemetry {
namespace {

using std::chrono::milliseconds;
using TimePoint = RequestRecord::TimePoint;
using Json = nlohmann::json;

const Error kInOrder{Source::local, Reason::none, 0, {}};

RequestLabels some_labels(const std::string& route = "shop/api/canary") {
  RequestLabels labels;
  labels.ends = {Reporter::source,
                 Security::mtls,
                 {"web", "shop", "spiffe://cluster.local/ns/shop/sa/web"},
                 {"api", "shop", "spiffe://cluster.local/ns/shop/sa/api"},
                 "shop/api"};
  labels.route = route;
  return labels;
}

// A worker's telemetry with a clock of its own, and its lines as the tap sees them.
struct Ground {
  RequestSeries series;
  AccessLog log{nullptr};
  Tap tap;
  TimePoint now{};
  RequestSink sink{series, log, tap, [this] { return now; }};
  RequestRow* row = series.row(some_labels());

  void watch() { tap.read({}, {}, 1, now); }
  Json line(size_t index = 0) {
    const TapPage page = tap.read(0, {}, 100, now);
    REQUIRE(page.lines.size() > index);
    return Json::parse(page.lines[index].text);
  }
};

TEST_CASE("a request is in flight from its head to its end, and counted once") {
  Ground ground;
  {
    RequestRecord record(ground.sink, ground.row, ground.now);
    CHECK(ground.row->in_flight == 1);
    record.status = 200;
    record.end(ground.now + milliseconds(12), kInOrder);
    CHECK(record.ended());
    CHECK(ground.row->in_flight == 0);
  }
  CHECK(ground.row->requests() == 1);
  CHECK(ground.row->durations.sum_seconds() == Approx(0.012));
  CHECK(ground.row->failures() == 0);
}

TEST_CASE("a request that nobody ended is ended as cancelled when its record goes, at the worker's time") {
  Ground ground;
  {
    RequestRecord record(ground.sink, ground.row, ground.now);
    ground.now += milliseconds(5);
  }
  REQUIRE(ground.row->outcomes.size() == 1);
  CHECK(ground.row->outcomes[0].reason == Reason::cancelled);
  CHECK(ground.row->in_flight == 0);
  CHECK(ground.row->durations.sum_seconds() == Approx(0.005));
}

TEST_CASE(
    "a request that moves to another row is in flight and counted there, with the bytes that are still to "
    "come") {
  Ground ground;
  RequestRow* canary = ground.series.row(some_labels("shop/api/other"));
  RequestRecord record(ground.sink, ground.row, ground.now);
  record.sent_bytes = 10;
  record.move_to(canary);
  CHECK(ground.row->in_flight == 0);
  CHECK(canary->in_flight == 1);
  record.sent_bytes = 15;
  record.received_bytes = 100;
  record.publish_bytes();
  record.publish_bytes();
  CHECK((ground.row->sent_bytes == 10 && canary->sent_bytes == 5 && canary->received_bytes == 100));
  record.end(ground.now, kInOrder);
  CHECK(canary->received_bytes == 100);
  CHECK(ground.row->requests() == 0);
  CHECK(canary->requests() == 1);
}

TEST_CASE("attempts beside the first are retries") {
  Ground ground;
  RequestRecord record(ground.sink, ground.row, ground.now);
  record.attempt(SocketAddress::parse("10.0.0.1:80").value());
  CHECK(ground.row->retries == 0);
  record.attempt(SocketAddress::parse("10.0.0.2:80").value());
  record.attempt(SocketAddress::parse("10.0.0.3:80").value());
  CHECK(ground.row->retries == 2);
  CHECK(record.facts.endpoint == SocketAddress::parse("10.0.0.3:80").value());
}

TEST_CASE("without a log and without a watcher no text is kept and no line is made") {
  Ground ground;
  RequestRecord record(ground.sink, ground.row, ground.now);
  CHECK_FALSE(record.wants_text());
  record.describe("GET", "api", "/");
  CHECK(record.facts.path.empty());
  record.end(ground.now, kInOrder);
  CHECK(ground.row->texts.head.empty());
}

TEST_CASE("the line of a request tells who asked whom for what, how it went, how long and why") {
  Ground ground;
  ground.watch();
  RequestRecord record(ground.sink, ground.row, ground.now);
  record.describe("GET", "api.shop", "/cart?id=\"1\"\r\n\xff");
  record.facts.client = SocketAddress::parse("10.1.0.9:40001").value();
  record.facts.source_pod = "shop/web-1";
  record.facts.destination_pod = "shop/api-2";
  record.facts.policy = "shop/no-carts";
  record.facts.rule = "carts";
  record.facts.trace = TraceId::parse("4bf92f3577b34da6a3ce929d0e0e4736");
  record.attempt(SocketAddress::parse("10.1.0.1:80").value());
  record.attempt(SocketAddress::parse("10.1.0.2:80").value());
  record.first_byte(ground.now + milliseconds(7));
  record.first_byte(ground.now + milliseconds(9));
  record.status = 403;
  record.sent_bytes = 3;
  record.received_bytes = 4;
  record.end(ground.now + milliseconds(12), Error{Source::policy, Reason::denied, 0, {}});
  Json line = ground.line();
  CHECK(line["time"].get<std::string>().size() == 24);
  line.erase("time");
  CHECK(line == Json::parse(R"({"kind":"request","reporter":"source","direction":"outbound",
    "source":{"address":"10.1.0.9:40001","pod":"shop/web-1","namespace":"shop","workload":"web",
              "principal":"spiffe://cluster.local/ns/shop/sa/web"},
    "destination":{"address":"10.1.0.2:80","pod":"shop/api-2","namespace":"shop","workload":"api",
                   "principal":"spiffe://cluster.local/ns/shop/sa/api"},
    "service":"shop/api","route":"shop/api/canary","protocol":"http/1.1","security":"mtls",
    "method":"GET","host":"api.shop","path":"/cart?id=\"1\"\r\n\ufffd","status":403,"reason":"denied",
    "explanation":"an AuthorizationPolicy denied it; the rule is named beside","policy":"shop/no-carts","rule":"carts",
    "bytes_sent":3,"bytes_received":4,"duration_ms":12.0,"first_byte_ms":7.0,"attempts":2,"endpoint":"10.1.0.2:80",
    "trace_id":"4bf92f3577b34da6a3ce929d0e0e4736"})"));
}

TEST_CASE(
    "a request that reached nobody has a line without endpoint, status and first byte, with errno and "
    "detail") {
  Ground ground;
  ground.watch();
  RequestRecord record(ground.sink, ground.row, ground.now);
  record.end(ground.now, Error{Source::downstream, Reason::bad_request, 71,
                               std::make_shared<const std::string>("a bare \n in \"Host\"")});
  const Json line = ground.line();
  for (const char* name :
       {"endpoint", "status", "first_byte_ms", "grpc_status", "trace_id", "policy", "truncated"})
    CHECK_FALSE(line.contains(name));
  CHECK(line["errno"] == 71);
  CHECK(line["detail"] == "a bare \n in \"Host\"");
  CHECK(line["attempts"] == 0);
  CHECK(line["destination"]["address"] == "");
}

TEST_CASE("the line of a gRPC call has its status") {
  Ground ground;
  ground.watch();
  RequestLabels labels = some_labels();
  labels.protocol = Protocol::grpc;
  RequestRecord record(ground.sink, ground.series.row(labels), ground.now);
  record.status = 200;
  record.grpc_status = 7;
  record.end(ground.now, kInOrder);
  CHECK(ground.line()["protocol"] == "grpc");
  CHECK(ground.line()["grpc_status"] == 7);
}

TEST_CASE("what a client sent is cut at its limits, and the line says so") {
  Ground ground;
  ground.watch();
  const std::string longest(limits::logged_path_max_bytes, 'p');
  for (const std::string& path : {longest, longest + "p"}) {
    RequestRecord record(ground.sink, ground.row, ground.now);
    record.describe(std::string(100, 'M'), "api", path);
    record.end(ground.now, kInOrder);
    RequestRecord whole(ground.sink, ground.row, ground.now);
    whole.describe("GET", "api", path);
    whole.end(ground.now, kInOrder);
  }
  CHECK(ground.line(0)["method"] == std::string(limits::logged_method_max_bytes, 'M'));
  CHECK(ground.line(0)["truncated"] == true);
  CHECK_FALSE(ground.line(1).contains("truncated"));
  CHECK(ground.line(3)["path"] == longest);
  CHECK(ground.line(3)["truncated"] == true);
}

TEST_CASE("a line that is made for a watcher alone is not kept by the log") {
  Ground ground;
  const auto line = [&] {
    const RequestEnded ended{
        .status = 200, .grpc_status = {}, .duration = {}, .first_byte = {}, .why = kInOrder};
    return ground.log.write({}, *ground.row, ended);
  };
  line();
  const char* place = line().data();
  for (int i = 0; i < 100; ++i) CHECK(line().data() == place);
  CHECK_FALSE(ground.log.pending());
}

TEST_CASE("requests and connections share one log, in the order of their ends") {
  const auto path = std::filesystem::temp_directory_path() / ("weir-requests-" + std::to_string(::getpid()));
  {
    auto writer = LogWriter::open(path);
    REQUIRE(writer);
    Ground ground;
    Series connections;
    AccessLog log(writer->get());
    Sink sink{connections, log};
    RequestSink requests{ground.series, log, ground.tap, [&] { return ground.now; }};
    Record connection(ground.now);
    RequestRecord first(requests, ground.row, ground.now), second(requests, ground.row, ground.now);
    CHECK(first.wants_text());
    first.describe("GET", "api", "/1");
    first.end(ground.now, kInOrder);
    connection.end(sink, ground.now, kInOrder);
    second.describe("GET", "api", "/2");
    second.end(ground.now, kInOrder);
    CHECK(log.pending());
    log.flush();
    CHECK_FALSE(log.pending());
  }
  std::ifstream in(path);
  std::vector<std::string> told;
  for (std::string text; std::getline(in, text);) {
    const Json line = Json::parse(text);
    told.push_back(line["kind"] == "request" ? line["path"] : line["kind"]);
  }
  CHECK(told == std::vector<std::string>{"/1", "connection", "/2"});
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace weir::telemetry

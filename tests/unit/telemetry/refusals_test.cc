// Refusals: kept without a log, by pod, a few of each.
#include "nodeproxy/telemetry/refusals.h"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "nodeproxy/base/limits.h"
#include "nodeproxy/telemetry/record.h"
#include "nodeproxy/telemetry/request_record.h"

namespace weir::telemetry {
namespace {

using Json = nlohmann::json;
using TimePoint = std::chrono::steady_clock::time_point;

struct Ground {
  Series series;
  RequestSeries request_series;
  AccessLog log{nullptr};
  Tap tap;
  Refusals refusals;
  Sink sink{series, log, &refusals};
  RequestSink request_sink{request_series, log, tap, [] { return TimePoint{}; }, &refusals};

  void end_connection(Reporter reporter, Reason reason) {
    Record record(TimePoint{});
    record.facts.reporter = record.facts.labels.edit().reporter = reporter;
    record.facts.source_pod = "shop/client";
    record.facts.destination_pod = "shop/server";
    record.facts.policy = "shop/p";
    record.end(sink, TimePoint{}, Error{Source::policy, reason, 0, {}});
  }
  void end_request(Reporter reporter, Reason reason) {
    RequestLabels labels;
    labels.ends.reporter = reporter;
    RequestRecord record(request_sink, request_series.row(labels), TimePoint{});
    record.facts.source_pod = "shop/client";
    record.facts.destination_pod = "shop/server";
    record.status = 403;
    record.end(TimePoint{}, Error{Source::policy, reason, 0, {}});
  }
};

TEST_CASE("a refused connection is kept with its policy for the pod that reports it, without an access log") {
  Ground ground;
  ground.end_connection(Reporter::destination, Reason::denied);
  const auto kept = ground.refusals.of("shop/server");
  REQUIRE(kept.size() == 1);
  const Json line = Json::parse(kept[0].text);
  CHECK(line["reason"] == "denied");
  CHECK(line["policy"] == "shop/p");
  CHECK(line["source"]["pod"] == "shop/client");
  CHECK(ground.refusals.of("shop/client").empty());
  ground.end_connection(Reporter::source, Reason::not_allowed);
  REQUIRE(ground.refusals.of("shop/client").size() == 1);
  CHECK(Json::parse(ground.refusals.of("shop/client")[0].text)["reason"] == "not_allowed");
  CHECK(ground.refusals.of("shop/server").size() == 1);
}

TEST_CASE("a refused request is kept though nobody watches, logs or asked for its text") {
  Ground ground;
  ground.end_request(Reporter::destination, Reason::denied);
  ground.end_request(Reporter::source, Reason::denied);
  REQUIRE(ground.refusals.of("shop/server").size() == 1);
  REQUIRE(ground.refusals.of("shop/client").size() == 1);
  const Json line = Json::parse(ground.refusals.of("shop/server")[0].text);
  CHECK(line["kind"] == "request");
  CHECK(line["status"] == 403);
}

TEST_CASE("what ended for another reason than a refusal is not kept") {
  Ground ground;
  for (const Reason reason : {Reason::none, Reason::refused, Reason::server_reset, Reason::no_endpoint}) {
    ground.end_connection(Reporter::destination, reason);
    ground.end_request(Reporter::destination, reason);
  }
  CHECK(ground.refusals.of("shop/server").empty());
}

TEST_CASE("of each pod the last few are kept, however often another one's callers are refused") {
  Refusals refusals;
  refusals.add("shop/quiet", "once\n");
  for (size_t i = 0; i < 1000; ++i) refusals.add("shop/loud", std::to_string(i));
  CHECK(refusals.of("shop/quiet").size() == 1);
  const auto loud = refusals.of("shop/loud");
  REQUIRE(loud.size() == limits::refusals_per_pod);
  CHECK(loud.back().text == "999");
  CHECK(loud.front().text == std::to_string(1000 - limits::refusals_per_pod));
}

TEST_CASE(
    "of more pods than a node runs the one that was refused longest ago goes, and unknown ones are not "
    "kept") {
  Refusals refusals;
  refusals.add("", "nobody\n");
  CHECK(refusals.of("").empty());
  for (size_t i = 0; i <= limits::refusal_pods; ++i) refusals.add("pod-" + std::to_string(i), "x");
  CHECK(refusals.of("pod-0").empty());
  CHECK(refusals.of("pod-1").size() == 1);
  CHECK(refusals.of("pod-" + std::to_string(limits::refusal_pods)).size() == 1);
}

}  // namespace
}  // namespace weir::telemetry

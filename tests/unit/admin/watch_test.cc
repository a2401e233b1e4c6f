// The query and the answer of /tap.
#include "nodeproxy/admin/watch.h"

#include <catch2/catch.hpp>

namespace weir::admin {
namespace {

HttpRequest asked(const std::string& query) {
  return {.method = "GET", .path = "/tap", .query = query, .body = ""};
}

telemetry::TapLine line_at(int64_t seconds, const std::string& text) {
  return {std::chrono::system_clock::time_point(std::chrono::seconds(seconds)), text};
}

TEST_CASE("a query names where each worker is to go on, what to filter and how much to answer") {
  const auto question =
      tap_question(asked("since=12,40&workload=shop/web&route=shop/routes/canary&status=5xx&most=7"));
  REQUIRE(question);
  CHECK(question->since_of(0) == 12);
  CHECK(question->since_of(1) == 40);
  CHECK_FALSE(question->since_of(2));
  CHECK(question->filter.workload == "shop/web");
  CHECK(question->filter.route == "shop/routes/canary");
  CHECK(question->filter.status_class == 5);
  CHECK(question->most == 7);
  const auto first = tap_question(asked("since="));
  REQUIRE(first);
  CHECK_FALSE(first->since_of(0));
}

TEST_CASE("a query that is not understood is refused with what was expected") {
  for (const char* bad :
       {"since=a", "since=1,,2", "since=1,-2", "status=5x", "most=0", "most=10001", "most=x"}) {
    INFO(bad);
    CHECK_FALSE(tap_question(asked(bad)));
  }
}

TEST_CASE("an answer has the requests of all workers by time, then where to go on from") {
  TapQuestion question;
  question.since = {5, 6, 7};
  telemetry::TapPage one{
      .worker = 0, .lines = {line_at(1, "a\n"), line_at(3, "c\n")}, .next = 8, .missed = 1};
  telemetry::TapPage two{.worker = 2, .lines = {line_at(2, "b\n")}, .next = 9, .missed = 2};
  CHECK(tap_answer(question, {two, one}, 3) ==
        "a\nb\nc\n{\"kind\":\"tap\",\"next\":\"8,6,9\",\"missed\":3}\n");
}

TEST_CASE("a worker that did not answer is asked from the same place again") {
  TapQuestion question;
  question.since = {5};
  CHECK(tap_answer(question, {}, 2) == "{\"kind\":\"tap\",\"next\":\"5,0\",\"missed\":0}\n");
}

TEST_CASE("refusals of all workers are answered by time") {
  const auto at = [](int64_t seconds, const std::string& text) {
    return telemetry::RefusalLine{std::chrono::system_clock::time_point(std::chrono::seconds(seconds)), text};
  };
  CHECK(refusals_answer({{at(1, "a\n"), at(4, "d\n")}, {}, {at(2, "b\n"), at(3, "c\n")}}) == "a\nb\nc\nd\n");
  CHECK(refusals_answer({{}, {}}).empty());
}

}  // namespace
}  // namespace weir::admin

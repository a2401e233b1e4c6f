// The tap: nothing for nobody, each line once, a bound on what is kept, and filters.
#include "nodeproxy/telemetry/tap.h"

#include <catch2/catch.hpp>

#include "nodeproxy/telemetry/request_series.h"

namespace weir::telemetry {
namespace {

using TimePoint = std::chrono::steady_clock::time_point;

constexpr TimePoint kBegin{};
constexpr size_t kAll = 100'000;

struct Ground {
  RequestSeries series;
  RequestRow* row = series.row(labels());
  Tap tap;

  static RequestLabels labels() {
    RequestLabels labels;
    labels.ends.source = {"web", "shop", ""};
    labels.ends.destination = {"api", "backend", ""};
    labels.ends.service = "backend/api-service";
    labels.route = "backend/routes/canary";
    return labels;
  }
  std::vector<std::string> texts(std::optional<uint64_t> since, const TapFilter& filter = {},
                                 size_t most = kAll) {
    std::vector<std::string> out;
    for (const TapLine& line : tap.read(since, filter, most, kBegin).lines) out.push_back(line.text);
    return out;
  }
};

TEST_CASE(
    "the first look shows nothing and begins the watch; the next shows what ended since, each line once") {
  Ground ground;
  CHECK_FALSE(ground.tap.watched());
  const TapPage first = ground.tap.read({}, {}, kAll, kBegin);
  CHECK(first.lines.empty());
  CHECK(ground.tap.watched());
  ground.tap.add(*ground.row, 200, "one\n");
  ground.tap.add(*ground.row, 200, "two\n");
  const TapPage second = ground.tap.read(first.next, {}, kAll, kBegin);
  REQUIRE(second.lines.size() == 2);
  CHECK(second.lines[0].text == "one\n");
  CHECK(ground.texts(second.next).empty());
  ground.tap.add(*ground.row, 200, "three\n");
  CHECK(ground.texts(second.next) == std::vector<std::string>{"three\n"});
}

TEST_CASE("a look that asks for fewer lines goes on where it stopped") {
  Ground ground;
  for (const char* text : {"1", "2", "3"}) ground.tap.add(*ground.row, 200, text);
  const TapPage page = ground.tap.read(0, {}, 2, kBegin);
  CHECK(page.lines.size() == 2);
  CHECK(ground.texts(page.next) == std::vector<std::string>{"3"});
}

TEST_CASE("the ring is bounded, and a slow watcher is told how much it missed") {
  Ground ground;
  const std::string line(1024, 'x');
  const size_t fit = limits::tap_ring_bytes / line.size();
  for (size_t i = 0; i < fit + 10; ++i) ground.tap.add(*ground.row, 200, line);
  const TapPage page = ground.tap.read(0, {}, kAll, kBegin);
  CHECK(page.lines.size() == fit);
  CHECK(page.missed == 10);
  CHECK(page.next == fit + 10);
}

TEST_CASE("when nobody has looked for a while the tap rests, and keeps no line") {
  Ground ground;
  ground.tap.read({}, {}, kAll, kBegin);
  ground.tap.add(*ground.row, 200, "kept");
  ground.tap.rest(kBegin + limits::tap_watch - std::chrono::milliseconds(1));
  CHECK(ground.tap.watched());
  ground.tap.rest(kBegin + limits::tap_watch);
  CHECK_FALSE(ground.tap.watched());
  const TapPage page = ground.tap.read(0, {}, kAll, kBegin);
  CHECK(page.lines.empty());
  CHECK(page.missed == 1);
  CHECK(page.next == 1);
}

TEST_CASE("a watcher from before a restart sees what there is now") {
  Ground ground;
  ground.tap.add(*ground.row, 200, "new");
  CHECK(ground.texts(5000) == std::vector<std::string>{"new"});
}

TEST_CASE("a filter on the workload takes source, destination or service, whole names only") {
  const RequestLabels labels = Ground::labels();
  for (const char* name : {"shop/web", "backend/api", "backend/api-service", ""})
    CHECK(TapFilter{.workload = name}.matches(labels, 200));
  for (const char* name : {"web", "shop/we", "shop/webx", "op/web", "shop/api", "shopxweb", "/"})
    CHECK_FALSE(TapFilter{.workload = name}.matches(labels, 200));
}

TEST_CASE("a filter on the route takes all its rules, or one") {
  const RequestLabels labels = Ground::labels();
  CHECK(TapFilter{.route = "backend/routes"}.matches(labels, 200));
  CHECK(TapFilter{.route = "backend/routes/canary"}.matches(labels, 200));
  for (const char* route : {"backend/route", "backend/routes/can", "backend/routes/canary/x"})
    CHECK_FALSE(TapFilter{.route = route}.matches(labels, 200));
}

TEST_CASE("a filter on the status is a class, a code, or none for requests without a response") {
  const auto takes = [](const char* text, uint16_t status) {
    TapFilter filter;
    REQUIRE(filter.set_status(text));
    return filter.matches(Ground::labels(), status);
  };
  CHECK((takes("5xx", 503) && takes("5xx", 599) && takes("503", 503) && takes("none", 0)));
  CHECK_FALSE((takes("5xx", 404) || takes("5xx", 0) || takes("503", 504) || takes("none", 200)));
  TapFilter filter;
  for (const char* bad : {"", "5", "5x", "xxx", "0xx", "5xy", "5000", "-12", "50x"})
    CHECK_FALSE(filter.set_status(bad));
}

}  // namespace
}  // namespace weir::telemetry

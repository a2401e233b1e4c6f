// Rows by label set, and the cap on their number.
#include "nodeproxy/telemetry/series.h"

#include <catch2/catch.hpp>

namespace weir::telemetry {
namespace {

Labels labels_to(const std::string& workload) {
  Labels labels;
  labels.destination.workload = workload;
  return labels;
}

TEST_CASE("the same labels are one row, others another") {
  Series series;
  ++series.row(labels_to("a")).opened;
  ++series.row(labels_to("a")).opened;
  ++series.row(labels_to("b")).opened;
  CHECK(series.row(labels_to("a")).opened == 2);
  CHECK(series.copy().size() == 2);
}

TEST_CASE("past the cap everything falls into one row named other") {
  Series series(2);
  series.row(labels_to("a"));
  series.row(labels_to("b"));
  ++series.row(labels_to("c")).opened;
  ++series.row(labels_to("d")).opened;
  ++series.row(labels_to("a")).opened;
  CHECK(series.copy().size() == 3);
  CHECK(series.row(labels_to("e")).labels.destination.workload == "other");
  CHECK(series.row(labels_to("e")).opened == 2);
  CHECK(series.row(labels_to("a")).opened == 1);
}

TEST_CASE("a duration falls into the bucket whose bound it does not exceed") {
  Row row;
  row.observe(std::chrono::milliseconds(5));
  row.observe(std::chrono::milliseconds(6));
  row.observe(std::chrono::hours(2));
  CHECK(row.durations[0] == 1);
  CHECK(row.durations[1] == 1);
  CHECK(row.durations.back() == 1);
  CHECK(row.duration_sum_seconds == Approx(7200.011));
}

}  // namespace
}  // namespace weir::telemetry

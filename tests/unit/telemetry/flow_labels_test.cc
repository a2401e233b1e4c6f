// Whose labels a connection shows.
#include "nodeproxy/telemetry/flow_labels.h"

#include <catch2/catch.hpp>

#include "nodeproxy/telemetry/record.h"

namespace weir::telemetry {
namespace {

Labels labels_to(const std::string& workload) {
  Labels labels;
  labels.destination.workload = workload;
  return labels;
}

struct Ground {
  explicit Ground(size_t rows) : series(rows) {}
  Series series;
  AccessLog log{nullptr};
  Sink sink{series, log, nullptr};
};

TEST_CASE("a connection that is through shows its row's labels, and has none of its own") {
  Ground ground(10);
  Record record(std::chrono::steady_clock::now());
  record.facts.labels = labels_to("api");
  record.opened(ground.sink);
  CHECK(*record.facts.labels == labels_to("api"));
  CHECK(&*record.facts.labels == &ground.series.row(labels_to("api")).labels);
  const Facts copy = record.facts;
  CHECK(*copy.labels == labels_to("api"));
  CHECK(&*copy.labels != &*record.facts.labels);
  record.end(ground.sink, std::chrono::steady_clock::now(), Error{Source::local, Reason::none, 0, {}});
}

TEST_CASE("past the cap of rows a connection still shows its own labels") {
  Ground ground(1);
  Record first(std::chrono::steady_clock::now()), second(std::chrono::steady_clock::now());
  first.facts.labels = labels_to("api");
  first.opened(ground.sink);
  second.facts.labels = labels_to("web");
  second.opened(ground.sink);
  CHECK(second.facts.labels->destination.workload == "web");
  for (Record* one : {&first, &second})
    one->end(ground.sink, std::chrono::steady_clock::now(), Error{Source::local, Reason::none, 0, {}});
}

TEST_CASE("labels that are edited later are the connection's own again, and the row's stay") {
  Series series;
  FlowLabels labels;
  labels = labels_to("api");
  const Row& row = series.row(*labels);
  labels.settle(row.labels);
  labels.edit().service = "shop/api";
  CHECK(labels->service == "shop/api");
  CHECK(labels->destination.workload == "api");
  CHECK(row.labels.service.empty());
}

}  // namespace
}  // namespace weir::telemetry

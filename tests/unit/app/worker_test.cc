// A worker on its own thread: messages, snapshots and reports from others, drain. Run under TSan too.
#include "nodeproxy/worker.h"

#include <google/protobuf/text_format.h>

#include <catch2/catch.hpp>
#include <future>
#include <thread>

#include "nodeproxy/config/build.h"
#include "nodeproxy/config/mesh.pb.h"
#include "nodeproxy/io/choose.h"

namespace weir {
namespace {

io::DriverChoice either_driver() { return GENERATE(io::DriverChoice::io_uring, io::DriverChoice::epoll); }

class RunningWorker {
 public:
  explicit RunningWorker(io::DriverChoice choice) : publisher(1) {
    std::promise<void> started;
    thread = std::thread([this, &started, choice] {
      auto chosen = io::choose_driver(choice);
      REQUIRE(chosen);
      worker =
          std::make_unique<Worker>(std::move(chosen->driver), Worker::Options{.publisher = &publisher,
                                                                              .pod_accepting = [](auto&) {},
                                                                              .pod_released = [](auto&) {}});
      publisher.set_wake(0, [this] { worker->wake(); });
      started.set_value();
      worker->run();
    });
    started.get_future().wait();
  }
  ~RunningWorker() {
    worker->post([](Worker& to) { to.stop(); });
    if (thread.joinable()) thread.join();
  }

  config::Publisher publisher;
  std::unique_ptr<Worker> worker;
  std::thread thread;
};

std::shared_ptr<const config::Snapshot> snapshot(config::Builder& builder, uint64_t version) {
  mesh::v1::Update update;
  REQUIRE(google::protobuf::TextFormat::ParseFromString(
      R"(full_state: true changed { mesh { trust_domain: "cluster.local" node: "a" } })", &update));
  update.set_version(version);
  auto built = builder.apply(update);
  REQUIRE(built);
  return *built;
}

TEST_CASE("a worker takes every snapshot that is published, while others ask it for reports") {
  RunningWorker running(either_driver());
  config::Builder builder;
  for (uint64_t version = 1; version <= 200; ++version) {
    running.publisher.publish(snapshot(builder, version));
    std::promise<uint64_t> seen;
    running.worker->post([&seen](Worker& from) {
      from.report();
      seen.set_value(from.context().snapshot ? from.context().snapshot->version : 0);
    });
    CHECK(seen.get_future().get() <= version);
  }
  for (int i = 0; i < 400 && running.publisher.retained() > 1; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    running.publisher.reclaim();
  }
  CHECK(running.publisher.retained() == 1);
}

TEST_CASE("a worker shows who watches the requests that end, once each, and counts them in its report") {
  RunningWorker running(either_driver());
  const auto on_worker = [&](auto&& question) {
    std::promise<decltype(question(*running.worker))> answer;
    running.worker->post([&](Worker& from) { answer.set_value(question(from)); });
    return answer.get_future().get();
  };
  const uint64_t begin = on_worker([](Worker& from) { return from.tap({}, {}, 10).next; });
  telemetry::RequestLabels labels;
  labels.ends.destination = {"api", "shop", ""};
  on_worker([&](Worker& from) {
    flow::Context& context = from.context();
    telemetry::RequestRecord record(context.request_sink, context.request_series.row(labels),
                                    context.driver.now());
    record.describe("GET", "api", "/cart");
    record.status = 200;
    return 0;  // nobody ends it: its end is the end of its scope
  });
  const auto page = on_worker([&](Worker& from) { return from.tap(begin, {.workload = "shop/api"}, 10); });
  REQUIRE(page.lines.size() == 1);
  CHECK(page.lines[0].text.find("\"path\":\"/cart\"") != std::string::npos);
  CHECK(on_worker([&](Worker& from) { return from.tap(page.next, {}, 10).lines.size(); }) == 0);
  const auto report = on_worker([](Worker& from) { return from.report(); });
  REQUIRE(report.requests.size() == 1);
  CHECK(report.requests[0].requests() == 1);
  CHECK(*report.requests[0].labels == labels);
  CHECK(on_worker([](Worker& from) { return from.report(false); }).requests.empty());
}

TEST_CASE("a worker without flows is drained at once") {
  RunningWorker running(either_driver());
  running.worker->post([](Worker& to) { to.drain(std::chrono::seconds(30)); });
  const auto begun = std::chrono::steady_clock::now();
  running.thread.join();
  CHECK(std::chrono::steady_clock::now() - begun < std::chrono::seconds(5));
}

}  // namespace
}  // namespace weir

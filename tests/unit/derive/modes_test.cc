// Which mode holds: port over workload over namespace over mesh, the oldest at each level.
#include "tests/unit/derive/world.h"

using namespace weir::agent;

namespace {
constexpr const char* kPod = "shop/web";
}

TEST_CASE("without a word it is Permissive, and the nearer level wins") {
  World world;
  world.pod("web", "10.0.0.1").meta.labels = {{"app", "web"}};
  CHECK(world.workload(kPod).mode() == pb::PERMISSIVE);
  world.mode("weir-system", "mesh", Mode::strict);
  CHECK(world.workload(kPod).mode() == pb::STRICT);
  world.mode("shop", "ns", Mode::disabled);
  CHECK(world.workload(kPod).mode() == pb::DISABLED);
  world.mode("shop", "workload", Mode::permissive).attachment.selector = Labels{{"app", "web"}};
  CHECK(world.workload(kPod).mode() == pb::PERMISSIVE);
  world.mode("other", "ns", Mode::strict);
  world.mode("shop", "another", Mode::strict).attachment.selector = Labels{{"app", "db"}};
  CHECK(world.workload(kPod).mode() == pb::PERMISSIVE);
}

TEST_CASE("a selector in weir-system reaches every namespace, and yields to the pod's own") {
  World world;
  world.pod("web", "10.0.0.1").meta.labels = {{"app", "web"}};
  world.mode("shop", "ns", Mode::disabled);
  world.mode("weir-system", "sel", Mode::strict).attachment.selector = Labels{{"app", "web"}};
  CHECK(world.workload(kPod).mode() == pb::STRICT);
  world.mode("shop", "sel", Mode::permissive).attachment.selector = Labels{{"app", "web"}};
  CHECK(world.workload(kPod).mode() == pb::PERMISSIVE);
}

TEST_CASE("at one level the oldest wins, one without a time comes last, then the name decides") {
  World world;
  world.pod("web", "10.0.0.1");
  world.mode("shop", "a", Mode::disabled);
  world.mode("shop", "b", Mode::strict);
  CHECK(world.workload(kPod).mode() == pb::DISABLED);
  world.mode("shop", "b", Mode::strict).meta.created_at = 200;
  CHECK(world.workload(kPod).mode() == pb::STRICT);
  world.mode("shop", "a", Mode::disabled).meta.created_at = 100;
  CHECK(world.workload(kPod).mode() == pb::DISABLED);
}

TEST_CASE("a port's mode holds beside the workload's, and a policy may say only ports") {
  World world;
  world.pod("web", "10.0.0.1").meta.labels = {{"app", "web"}};
  auto& ports = world.mode("shop", "ports", std::nullopt);
  ports.attachment.selector = Labels{{"app", "web"}};
  ports.ports = {{8080, Mode::disabled}};
  ports.meta.created_at = 1;
  auto& general = world.mode("shop", "general", Mode::strict);
  general.attachment.selector = Labels{{"app", "web"}};
  general.ports = {{8080, Mode::permissive}, {9090, Mode::permissive}};
  const auto workload = world.workload(kPod);
  CHECK(workload.mode() == pb::STRICT);
  REQUIRE(workload.port_modes_size() == 2);
  CHECK(workload.port_modes().at(8080) == pb::DISABLED);
  CHECK(workload.port_modes().at(9090) == pb::PERMISSIVE);
}

TEST_CASE("a mode on a Service is that of the ports it leads to") {
  World world;
  auto& pod = world.pod("web", "10.0.0.1");
  pod.meta.labels = {{"app", "web"}};
  pod.ports = {{"named", 7000}};
  world.service("web", {{"app", "web"}}).ports.push_back({.name = "n", .target_name = "named", .port = 70});
  world.mode("shop", "m", Mode::strict).attachment.targets = {{"Service", "web", ""}};
  const auto workload = world.workload(kPod);
  CHECK(workload.mode() == pb::PERMISSIVE);
  REQUIRE(workload.port_modes_size() == 2);
  CHECK(workload.port_modes().at(8080) == pb::STRICT);
  CHECK(workload.port_modes().at(7000) == pb::STRICT);
}

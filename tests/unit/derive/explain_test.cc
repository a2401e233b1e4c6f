// Who decided what of a pod: the same answers as derive() gives, with their origin.
#include "agent/derive/explain.h"

#include <catch2/catch.hpp>

#include "tests/unit/derive/yaml_world.h"

using namespace weir::agent;

namespace {

Explanation explained(const World& world, const std::string& name = "web", const std::string& ns = "shop") {
  auto found =
      explain({world.objects, world.node, "cluster.local", world.announced, world.trust}, {ns, name});
  REQUIRE(found);
  return *found;
}

std::string by(const SaidMode& mode) { return mode.by == nullptr ? "nobody" : mode.by->meta.key().text(); }

}  // namespace

TEST_CASE("enrolment names the label that decides, as the pod's own wins") {
  World world;
  Pod& pod = world.pod("web", "10.0.0.1");
  CHECK(explained(world).enrolled);
  CHECK(explained(world).because == "label weir.dev/mesh: enabled of namespace shop");
  pod.meta.labels["weir.dev/mesh"] = "disabled";
  CHECK_FALSE(explained(world).enrolled);
  CHECK(explained(world).because == "label weir.dev/mesh: disabled of the pod");
  pod.meta.labels["weir.dev/mesh"] = "odd";
  CHECK(explained(world).because == "label weir.dev/mesh: enabled of namespace shop");
  pod.host_network = true;
  CHECK_THAT(explained(world).because, Catch::Contains("hostNetwork"));
  world.objects.add(Namespace{.meta = {.name = "bare"}});
  world.pod("web", "10.0.0.2", "bare");
  CHECK_FALSE(explained(world, "web", "bare").enrolled);
  CHECK_THAT(explained(world, "web", "bare").because, Catch::Contains("neither"));
  CHECK_FALSE(explain({world.objects, "n1", "x", world.announced, world.trust}, {"shop", "none"}));
}

TEST_CASE("a mode names the PeerAuthentication it comes from, for the pod and for each port") {
  World world;
  world.pod("web", "10.0.0.1").meta.labels = {{"app", "web"}};
  CHECK(by(explained(world).mode) == "nobody");
  world.mode("weir-system", "all", Mode::strict);
  CHECK(by(explained(world).mode) == "weir-system/all");
  world.mode("shop", "default", Mode::permissive).ports = {{8080, Mode::disabled}};
  auto now = explained(world);
  CHECK(by(now.mode) == "shop/default");
  CHECK(now.mode.mode == Mode::permissive);
  CHECK(by(now.port_modes.at(8080)) == "shop/default");
  world.mode("shop", "web", Mode::strict).attachment.selector = Labels{{"app", "web"}};
  now = explained(world);
  CHECK(by(now.mode) == "shop/web");
  CHECK(now.mode.mode == Mode::strict);
  CHECK(static_cast<int>(world.workload("shop/web").mode()) == static_cast<int>(pb::STRICT));
}

TEST_CASE("policies come in the order in which they decide, with how they are attached") {
  World world;
  world.pod("web", "10.0.0.1").meta.labels = {{"app", "web"}};
  world.service("web", {{"app", "web"}});
  world.policy("shop", "audits").action = Action::audit;
  world.policy("shop", "allows");
  auto& denies = world.policy("weir-system", "denies");
  denies.action = Action::deny;
  auto& of_service = world.policy("shop", "of-service");
  of_service.attachment.targets = {{"Service", "web", ""}};
  world.policy("shop", "others").attachment.selector = Labels{{"app", "other"}};
  std::string order;
  for (const auto& bound : explained(world).policies) {
    order += bound.policy->meta.name + " " + bound.level + ";";
  }
  CHECK(order == "denies mesh;allows namespace;of-service Service;audits namespace;");
  CHECK(explained(world).policies[2].ports == std::vector<uint16_t>{8080});
}

TEST_CASE("a pod's Services come with the pod's ports, and those whose name it does not declare as unknown") {
  World world;
  Pod& pod = world.pod("web", "10.0.0.1");
  pod.meta.labels = {{"app", "web"}};
  world.service("web", {{"app", "web"}})
      .ports.push_back({.name = "admin", .target_name = "admin", .port = 81});
  world.service("other", {{"app", "other"}});
  auto services = explained(world).services;
  REQUIRE(services.size() == 1);
  REQUIRE(services[0].ports.size() == 2);
  CHECK(services[0].ports[0].pod_port == 8080);
  CHECK(services[0].ports[1].pod_port == 0);
  pod.ports = {{"admin", 9000}};
  CHECK(explained(world).services[0].ports[1].pod_port == 9000);
}

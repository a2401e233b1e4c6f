// Services, their endpoints and how they are balanced.
#include "nodeproxy/base/ip.h"
#include "tests/unit/derive/world.h"

using namespace weir::agent;

namespace {

EndpointSlice& slice(World& world, std::vector<SliceEndpoint> endpoints) {
  EndpointSlice slice{.meta = {.name = "web-1", .ns = "shop"}, .service = "web"};
  slice.ports = {{"http", "tcp", 8080}};
  slice.endpoints = std::move(endpoints);
  world.objects.add(slice);
  return world.objects.slices.at({"shop", "web-1"});
}

pb::Service service_of(const World& world) { return world.resource(pb::SERVICE, "shop/web")->service(); }
pb::Endpoints endpoints_of(const World& world) {
  const auto found = world.resource(pb::ENDPOINTS, "shop/web-1");
  REQUIRE(found);
  return found->endpoints();
}
TrafficPolicy& traffic(World& world, const std::string& name) {
  world.objects.add(TrafficPolicy{.meta = {.name = name, .ns = "shop"},
                                  .attachment = {.selector = {}, .targets = {{"Service", "web", ""}}}});
  return world.objects.traffic_policies.at({"shop", name});
}

}  // namespace

TEST_CASE("a service carries its addresses of both families and its own settings") {
  World world;
  auto& service = world.service("web", {{"app", "web"}});
  service.addresses = {"10.96.0.1", "fd00::1"};
  service.affinity_seconds = 60;
  service.ports[0].app_protocol = "kubernetes.io/h2c";
  service.internal_local = true;
  service.publish_not_ready = true;
  const auto got = service_of(world);
  REQUIRE(got.addresses_size() == 2);
  CHECK(got.addresses(0) == weir::Ip::parse("10.96.0.1")->to_wire());
  CHECK(got.addresses(1).size() == 16);
  CHECK(got.ports(0).port() == 80);
  CHECK(got.ports(0).name() == "http");
  CHECK(got.ports(0).app_protocol() == "kubernetes.io/h2c");
  CHECK(got.session_affinity_seconds() == 60);
  CHECK(got.internal_traffic_local());
  CHECK(got.publish_not_ready());
}

TEST_CASE("an ExternalName is nobody's address, and a slice without its service does not travel") {
  World world;
  world.service("web", {}).external_name = true;
  slice(world, {{.address = "10.0.0.1"}});
  CHECK_FALSE(world.resource(pb::SERVICE, "shop/web"));
  CHECK_FALSE(world.resource(pb::ENDPOINTS, "shop/web-1"));
  world.objects.services.clear();
  CHECK_FALSE(world.resource(pb::ENDPOINTS, "shop/web-1"));
}

TEST_CASE("trafficDistribution prefers, and a TrafficPolicy's word comes before it") {
  World world;
  for (const auto& [word, means] : {std::pair<const char*, pb::LocalityPreference>{"", pb::LOCALITY_NONE},
                                    {"PreferClose", pb::PREFER_SAME_ZONE},
                                    {"PreferSameZone", pb::PREFER_SAME_ZONE},
                                    {"PreferSameNode", pb::PREFER_SAME_NODE},
                                    {"Unknown", pb::LOCALITY_NONE}}) {
    CAPTURE(word);
    world.service("web", {}).traffic_distribution = word;
    CHECK(service_of(world).locality() == means);
  }
  world.service("web", {}).traffic_distribution = "PreferClose";
  traffic(world, "t").locality = "None";
  CHECK(service_of(world).locality() == pb::LOCALITY_NONE);
  traffic(world, "t").locality = "SameNode";
  CHECK(service_of(world).locality() == pb::PREFER_SAME_NODE);
}

TEST_CASE("each setting comes from the oldest TrafficPolicy that has it") {
  World world;
  world.service("web", {});
  CHECK(service_of(world).balancer() == pb::BALANCER_UNSPECIFIED);
  auto& young = traffic(world, "a");
  young.meta.created_at = 200;
  young.balancer = "Random";
  young.locality = "SameZone";
  auto& old = traffic(world, "b");
  old.meta.created_at = 100;
  old.balancer = "RoundRobin";
  CHECK(service_of(world).balancer() == pb::ROUND_ROBIN);
  CHECK(service_of(world).locality() == pb::PREFER_SAME_ZONE);
}

TEST_CASE("an endpoint is the pod it names, else the pod or node with its address, else an outsider") {
  World world;
  world.service("web", {});
  world.pod("web", "10.0.0.1").meta.uid = "u1";
  auto& host = world.pod("host", "192.0.2.7");
  host.host_network = true;
  host.node = "n7";
  world.objects.add(Node{.meta = {.name = "n8"}, .addresses = {"192.0.2.8"}});
  slice(world, {{.address = "10.0.0.1", .target = ObjectName{"shop", "web"}},
                {.address = "10.0.0.1"},
                {.address = "10.0.0.1", .target = ObjectName{"shop", "gone"}},
                {.address = "192.0.2.7", .target = ObjectName{"shop", "host"}},
                {.address = "192.0.2.8"},
                {.address = "203.0.113.1"}});
  const auto got = endpoints_of(world);
  std::string who;
  for (const auto& endpoint : got.endpoints()) who += endpoint.workload() + ";";
  CHECK(who == "u1;u1;u1;node/n7;node/n8;;");
  CHECK(got.service() == "shop/web");
  CHECK(got.ports(0).name() == "http");
  CHECK(got.ports(0).app_protocol() == "tcp");
}

TEST_CASE("conditions, hints, node and zone arrive; the region is the node's") {
  World world;
  world.service("web", {});
  world.objects.add(Node{
      .meta = {.name = "n2",
               .labels = {{"topology.kubernetes.io/region", "r"}, {"topology.kubernetes.io/zone", "z"}}}});
  slice(world, {{.address = "10.0.0.1",
                 .ready = false,
                 .serving = true,
                 .terminating = true,
                 .node = "n2",
                 .hint_zones = {"z"}},
                {.address = "10.0.0.2", .node = "n2", .zone = "own"}});
  const auto first = endpoints_of(world).endpoints(0);
  CHECK_FALSE(first.ready());
  CHECK(first.serving());
  CHECK(first.terminating());
  CHECK(first.node() == "n2");
  CHECK(first.locality().region() == "r");
  CHECK(first.locality().zone() == "z");
  CHECK(first.hint_zones(0) == "z");
  CHECK(endpoints_of(world).endpoints(1).locality().zone() == "own");
}

TEST_CASE("weights go by the pod's labels, first match, 100 unless said") {
  World world;
  world.service("web", {});
  world.pod("a", "10.0.0.1").meta.labels = {{"v", "one"}};
  world.pod("b", "10.0.0.2").meta.labels = {{"v", "two"}};
  slice(world, {{.address = "10.0.0.1", .target = ObjectName{"shop", "a"}},
                {.address = "10.0.0.2", .target = ObjectName{"shop", "b"}},
                {.address = "203.0.113.1"}});
  CHECK(endpoints_of(world).endpoints(0).weight() == 100);
  traffic(world, "t").weights = {{{{"v", "one"}}, 0}, {{{"v", "one"}}, 7}};
  const auto got = endpoints_of(world);
  CHECK(got.endpoints(0).weight() == 0);
  CHECK(got.endpoints(1).weight() == 100);
  CHECK(got.endpoints(2).weight() == 100);
}

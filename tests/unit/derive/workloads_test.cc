// What of a pod and a node the proxy hears, the mesh's settings, and that only differences travel.
#include "nodeproxy/base/ip.h"
#include "tests/unit/derive/world.h"

using namespace weir::agent;

TEST_CASE("metrics name the owner a person knows") {
  struct Row {
    const char* kind;
    const char* name;
    const char* hash;
    const char* says;
  };
  for (const auto& [kind, name, hash, says] :
       {Row{"ReplicaSet", "web-5d4b8c7f9", "", "Deployment web"},
        Row{"ReplicaSet", "web-5d4b8c7f9", "5d4b8c7f9", "Deployment web"},
        Row{"ReplicaSet", "web-aeiou", "", "ReplicaSet web-aeiou"},
        Row{"ReplicaSet", "web-5d4b8c7f9", "other", "ReplicaSet web-5d4b8c7f9"},
        Row{"ReplicaSet", "web", "", "ReplicaSet web"}, Row{"StatefulSet", "db", "", "StatefulSet db"},
        Row{"DaemonSet", "log-bcdfg", "", "DaemonSet log-bcdfg"},
        Row{"Job", "back-up-29123456", "", "CronJob back-up"}, Row{"Job", "back-up", "", "Job back-up"},
        Row{"", "", "", "Pod web"}}) {
    CAPTURE(kind, name, hash);
    World world;
    auto& pod = world.pod("web", "10.0.0.1");
    if (*kind != 0) pod.meta.owners = {{kind, name}};
    if (*hash != 0) pod.meta.labels["pod-template-hash"] = hash;
    const auto got = world.workload("shop/web");
    CHECK(got.owner_kind() + " " + got.owner_name() == says);
  }
}

TEST_CASE("a pod carries its uid, addresses, node, locality, cluster and service account") {
  World world;
  world.objects.add(Node{
      .meta = {.name = "n1",
               .labels = {{"topology.kubernetes.io/region", "r"}, {"topology.kubernetes.io/zone", "z"}}}});
  world.objects.settings = MeshSettings{.cluster = "east"};
  auto& pod = world.pod("web", "10.0.0.1");
  pod.meta.uid = "u-1";
  pod.addresses.push_back("fd00::1");
  pod.addresses.push_back("10.0.0.1");
  const auto got = world.workload("u-1");
  REQUIRE(got.addresses_size() == 2);
  CHECK(got.addresses(1) == weir::Ip::parse("fd00::1")->to_wire());
  CHECK(got.name() == "web");
  CHECK(got.namespace_() == "shop");
  CHECK(got.node() == "n1");
  CHECK(got.locality().zone() == "z");
  CHECK(got.cluster() == "east");
  CHECK(got.service_account() == "web");
}

TEST_CASE("a node is one workload of the host's network, with the addresses of its hostNetwork pods") {
  World world;
  world.objects.add(Node{.meta = {.name = "n2"}, .addresses = {"192.0.2.2"}});
  auto& pod = world.pod("host", "192.0.2.3");
  pod.host_network = true;
  pod.node = "n2";
  const auto got = world.workload("node/n2");
  CHECK(got.host_network());
  CHECK(got.identity().empty());
  CHECK_FALSE(got.mesh_peer());
  CHECK(got.addresses_size() == 2);
}

TEST_CASE("the mesh's ranges are those of the nodes and the settings, each once") {
  World world;
  world.objects.add(
      Node{.meta = {.name = "n1"}, .pod_cidrs = {"10.1.0.0/24", "fd00:1::/64"}, .addresses = {}});
  world.objects.settings = MeshSettings{.pod_cidrs = {"10.1.0.0/24"},
                                        .service_cidrs = {"10.96.0.0/16"},
                                        .allow_unknown_destinations = true,
                                        .same_node_encrypted = true,
                                        .sessions_per_lane = 1};
  const auto mesh = world.resource(pb::MESH, "")->mesh();
  CHECK(mesh.cluster_ranges_size() == 3);
  CHECK(mesh.unknown_destinations() == pb::Mesh::ALLOW);
  CHECK(mesh.same_node() == pb::Mesh::ENCRYPTED);
  CHECK(mesh.sessions_per_lane() == 1);
  CHECK(mesh.node() == "n1");
}

TEST_CASE("the same objects give the same bytes, and one change one difference") {
  World world;
  for (int i = 0; i < 20; ++i) world.pod("p" + std::to_string(i), "10.0.0." + std::to_string(i + 1));
  world.mode("shop", "m", std::nullopt).attachment.selector = Labels{};
  for (uint16_t port = 1; port < 40; ++port)
    world.objects.peer_authentications.begin()->second.ports[port] = Mode::strict;
  const auto before = world.derived().resources;
  CHECK(difference(before, world.derived().resources).empty());
  world.objects.pods.at({"shop", "p3"}).service_account = "other";
  world.objects.pods.erase({"shop", "p4"});
  world.pod("new", "10.0.1.1");
  const Delta delta = difference(before, world.derived().resources);
  REQUIRE(delta.changed.size() == 2);
  CHECK(delta.changed[0].text() == "WORKLOAD shop/new");
  CHECK(delta.changed[1].text() == "WORKLOAD shop/p3");
  REQUIRE(delta.removed.size() == 1);
  CHECK(delta.removed[0].name == "shop/p4");
}

// Who is in the mesh: labels, announcements, and who never is.
#include "tests/unit/derive/world.h"

using namespace weir::agent;

TEST_CASE("the pod's label wins over the namespace's, both ways") {
  struct Row {
    const char* ns;
    const char* pod;
    bool in;
  };
  for (const auto& [ns, pod, in] :
       {Row{"enabled", "", true}, Row{"enabled", "disabled", false}, Row{"", "enabled", true},
        Row{"", "", false}, Row{"disabled", "", false}, Row{"disabled", "enabled", true},
        Row{"enabled", "yes", true}, Row{"yes", "", false}}) {
    CAPTURE(ns, pod);
    World world;
    world.objects.namespaces["shop"].meta.labels = {{"weir.dev/mesh", ns}};
    world.pod("web", "10.0.0.1").meta.labels = {{"weir.dev/mesh", pod}};
    CHECK(world.derived().local_pods.size() == (in ? 1 : 0));
    CHECK(world.workload("shop/web").identity() == (in ? "spiffe://cluster.local/ns/shop/sa/web" : ""));
  }
}

TEST_CASE(
    "pods of the host's network, of weir-system, without address and those that ended are not enrolled") {
  World world;
  world.objects.add(Namespace{.meta = {.name = "weir-system", .labels = {{"weir.dev/mesh", "enabled"}}}});
  world.pod("host", "192.0.2.1").host_network = true;
  world.pod("proxy", "10.0.0.2", "weir-system");
  world.pod("early", "10.0.0.3").addresses.clear();
  world.pod("done", "10.0.0.4").phase = "Succeeded";
  world.pod("failed", "10.0.0.5").phase = "Failed";
  world.pod("ending", "10.0.0.6").meta.deleting = true;  // still serves, still with its identity
  const auto local = world.derived().local_pods;
  REQUIRE(local.size() == 1);
  CHECK(local[0].uid == "shop/ending");
  CHECK_FALSE(world.resource(pb::WORKLOAD, "shop/done"));
  CHECK_FALSE(world.resource(pb::WORKLOAD, "shop/failed"));
  CHECK_FALSE(world.resource(pb::WORKLOAD, "shop/early"));
  CHECK_FALSE(world.resource(pb::WORKLOAD, "shop/host"));
}

TEST_CASE(
    "with enrolment None the labels count for nothing: pods are let go, and stay peers until they have "
    "left") {
  World world;
  world.pod("web", "10.0.0.1");
  world.announced = {"shop/web"};
  world.objects.settings.emplace();
  CHECK(world.derived().local_pods.size() == 1);
  world.objects.settings->enrol_nobody = true;
  CHECK(world.derived().local_pods.empty());
  CHECK(world.workload("shop/web").mesh_peer());
  world.announced.clear();
  CHECK(world.workload("shop/web").identity().empty());
}

TEST_CASE("a label makes no peer, an announcement does, until it is withdrawn") {
  World world;
  world.pod("web", "10.0.0.1");
  CHECK_FALSE(world.workload("shop/web").mesh_peer());
  world.announced = {"shop/web"};
  CHECK(world.workload("shop/web").mesh_peer());
  world.objects.namespaces.clear();  // unlabelled, but its peers still speak mTLS to it
  CHECK(world.workload("shop/web").mesh_peer());
  CHECK(world.workload("shop/web").identity() == "spiffe://cluster.local/ns/shop/sa/web");
  CHECK(world.derived().local_pods.empty());
  world.announced.clear();
  CHECK_FALSE(world.workload("shop/web").mesh_peer());
  CHECK(world.workload("shop/web").identity().empty());
}

TEST_CASE(
    "only pods of this node are local, with their namespace file and whether old connections may stay") {
  World world;
  world.pod("web", "10.0.0.1").meta.annotations = {{"weir.dev/netns", "pod1"}};
  world.pod("far", "10.0.0.2").node = "n2";
  auto local = world.derived().local_pods;
  REQUIRE(local.size() == 1);
  CHECK(local[0].netns == "pod1");
  CHECK(local[0].addresses == std::vector<std::string>{"10.0.0.1"});
  CHECK_FALSE(local[0].guarded);
  world.mode("shop", "m", Mode::strict);
  CHECK(world.derived().local_pods[0].guarded);
  world.objects.peer_authentications.clear();
  world.policy("shop", "p");
  CHECK(world.derived().local_pods[0].guarded);
}

TEST_CASE("an address that two pods claim belongs to the one that stays, then to the younger") {
  World world;
  auto& old = world.pod("old", "10.0.0.1");
  auto& young = world.pod("young", "10.0.0.1");
  old.meta.created_at = 100;
  young.meta.created_at = 200;
  CHECK(world.workload("shop/young").addresses_size() == 1);
  CHECK(world.workload("shop/old").addresses_size() == 0);
  CHECK(world.derived().local_pods.size() == 1);
  CHECK(world.derived().notes.size() == 1);
  world.objects.pods.at({"shop", "young"}).meta.deleting = true;
  CHECK(world.workload("shop/old").addresses_size() == 1);
}

TEST_CASE("the trust domain of the settings is that of identities, trust and mesh") {
  World world;
  world.pod("web", "10.0.0.1");
  world.objects.settings = MeshSettings{.trust_domain = "example.org"};
  CHECK(world.workload("shop/web").identity() == "spiffe://example.org/ns/shop/sa/web");
  const auto trust = world.resource(pb::TRUST, "example.org");
  REQUIRE(trust);
  CHECK(trust->trust().version() == 1);
  CHECK(trust->trust().roots(0) == "root");
  CHECK(world.resource(pb::MESH, "")->mesh().trust_domain() == "example.org");
}

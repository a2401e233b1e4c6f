// The steps of a pod into the mesh, and what may change on the way or after.
#include "tests/unit/enrol/fake_node.h"

using namespace weir;
using namespace weir::agent;

TEST_CASE("a pod is prepared, offered, armed when the proxy accepts, and announced last") {
  TestNode node;
  node.enrolment->set_wanted({web()}, kAlive);
  CHECK(node.did() == "prepare shop/web, offer shop/web as spiffe://x");
  CHECK(node.pod().state == PodState::offering);
  CHECK_FALSE(node.announced("shop/web"));
  CHECK_FALSE(node.enrolment->settled());
  node.enrolment->accepting("shop/web");
  CHECK(node.did() == "arm shop/web");
  CHECK(node.pod().state == PodState::captured);
  CHECK(node.announced("shop/web"));
  CHECK(node.enrolment->settled());
  CHECK(node.enrolment->has_identity("spiffe://x"));
  CHECK_FALSE(node.enrolment->has_identity("spiffe://y"));
  node.enrolment->set_wanted({web()}, kAlive);
  CHECK(node.did().empty());
}

TEST_CASE("a proxy that does not accept in time does not keep a pod unprotected, and neither does none") {
  TestNode node;
  node.enrolment->set_wanted({web()}, kAlive);
  node.did();
  node.wait(90);
  CHECK(node.did() == "arm shop/web");
  CHECK(node.announced("shop/web"));
  CHECK_FALSE(node.pod().accepting);

  TestNode lonely;
  lonely.connected = false;
  lonely.enrolment->set_wanted({web(true)}, kAlive);
  CHECK(lonely.did() == "prepare shop/web, arm shop/web, destroy_old shop/web");
  CHECK(lonely.announced("shop/web"));
  lonely.connected = true;
  lonely.proxy_synced();
  CHECK(lonely.did() == "offer shop/web as spiffe://x");
  lonely.enrolment->accepting("shop/web");
  CHECK(lonely.did().empty());
  CHECK(lonely.enrolment->settled());
}

TEST_CASE("a namespace that is not there yet is waited for, and the pod enrolled when it comes") {
  TestNode node;
  std::filesystem::remove(node.path / "netns" / "pod1");
  node.enrolment->set_wanted({web()}, kAlive);
  CHECK(node.pod().state == PodState::waiting);
  CHECK_THAT(node.pod().error, Catch::Contains("is not there"));
  CHECK(node.did().empty());
  node.link("pod1");
  node.enrolment->retry_waiting();
  CHECK(node.did() == "prepare shop/web, offer shop/web as spiffe://x");
}

TEST_CASE("a namespace is named by a plain name, and must be the pod's own") {
  TestNode node;
  const NetnsFinder finder({node.path / "netns", "/proc", {}});
  const auto refusal = [&](const std::string& name) {
    auto spec = web();
    spec.netns = name;
    const auto found = finder.find(spec, {});
    return found ? "found" : *found.error().detail;
  };
  CHECK_THAT(refusal(""), Catch::Contains("weir.dev/netns"));
  CHECK_THAT(refusal("../pod1"), Catch::Contains("no name"));
  CHECK_THAT(refusal("pod2"), Catch::Contains("is not there"));
  CHECK_THAT(refusal("pod1"), Catch::Contains("the node's own network namespace"));
}

TEST_CASE("a step that fails is tried again, and the error is shown meanwhile") {
  TestNode node;
  node.capture.failing["prepare"] = "rule";
  node.enrolment->set_wanted({web()}, kAlive);
  CHECK_THAT(node.pod().error, Catch::Contains("rule"));
  node.capture.failing.clear();
  node.capture.failing["arm"] = "map";
  node.did();
  node.wait(130);
  node.enrolment->accepting("shop/web");
  CHECK_THAT(node.pod().error, Catch::Contains("map"));
  CHECK_FALSE(node.announced("shop/web"));
  node.capture.failing.clear();
  node.wait(400);
  CHECK(node.pod().state == PodState::captured);
  CHECK(node.pod().error.empty());
  CHECK(node.announced("shop/web"));
}

TEST_CASE("a proxy that comes back is offered every pod again, and pods stay captured while it is away") {
  TestNode node;
  node.enrolment->set_wanted({web()}, kAlive);
  node.enrolment->accepting("shop/web");
  node.did();
  node.connected = false;
  node.enrolment->proxy_gone();
  CHECK_FALSE(node.pod().accepting);
  CHECK(node.pod().state == PodState::captured);
  CHECK(node.announced("shop/web"));
  node.connected = true;
  node.proxy_synced();
  CHECK(node.did() == "offer shop/web as spiffe://x");
}

TEST_CASE("a second proxy is offered every pod, and nothing changes for the pods") {
  TestNode node;
  node.enrolment->set_wanted({web()}, kAlive);
  node.enrolment->accepting("shop/web");
  node.did();
  node.proxy_synced();
  CHECK(node.did() == "offer shop/web to it");
  CHECK(node.pod().accepting);
  CHECK(node.pod().state == PodState::captured);
}

TEST_CASE("a namespace that is replaced is captured anew, once the proxy let go of the old") {
  TestNode node;
  node.enrolment->set_wanted({web()}, kAlive);
  node.enrolment->accepting("shop/web");
  node.did();
  node.link("pod1", "/proc/self/ns/mnt");  // another namespace: only its identity matters here
  node.wait(50);
  CHECK(node.did() == "removed shop/web, prepare shop/web, arm shop/web");
  CHECK(node.announced("shop/web"));
  node.enrolment->released("shop/web");
  CHECK(node.did() == "offer shop/web as spiffe://x");

  std::filesystem::remove(node.path / "netns" / "pod1");
  node.wait(50);
  CHECK(node.did() == "disarm shop/web, removed shop/web");
  CHECK_FALSE(node.announced("shop/web"));
  node.enrolment->released("shop/web");
  CHECK(node.did() == "remove shop/web");
  CHECK(node.pod().state == PodState::waiting);
}

TEST_CASE("another identity is learnt anew by the proxy while the pod stays captured") {
  TestNode node;
  node.enrolment->set_wanted({web()}, kAlive);
  node.enrolment->accepting("shop/web");
  node.did();
  auto spec = web();
  spec.identity = "spiffe://y";
  node.enrolment->set_wanted({spec}, kAlive);
  CHECK(node.did() == "removed shop/web, prepare shop/web, arm shop/web");
  node.enrolment->released("shop/web");
  CHECK(node.did() == "offer shop/web as spiffe://y");
}

TEST_CASE("connections older than capture end when a policy comes") {
  TestNode node;
  node.enrolment->set_wanted({web()}, kAlive);
  node.enrolment->accepting("shop/web");
  node.did();
  node.enrolment->set_wanted({web(true)}, kAlive);
  CHECK(node.did() == "destroy_old shop/web");
}

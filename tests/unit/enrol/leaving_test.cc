// The steps of a pod out of the mesh, and what a restarted agent takes over or undoes.
#include "tests/unit/enrol/fake_node.h"

using namespace weir;
using namespace weir::agent;

TEST_CASE("an unlabelled pod is withdrawn, left captured for the grace, then drained and restored") {
  TestNode node;
  node.enrolment->set_wanted({web()}, kAlive);
  node.enrolment->accepting("shop/web");
  node.did();
  node.enrolment->set_wanted({}, kAlive);
  CHECK_FALSE(node.announced("shop/web"));
  CHECK(node.did().empty());
  node.wait(90);
  CHECK(node.did() == "disarm shop/web, unenrolled shop/web");
  CHECK(node.pod().state == PodState::draining);
  node.enrolment->released("shop/web");
  CHECK(node.did() == "remove shop/web");
  CHECK(node.enrolment->status().empty());
}

TEST_CASE("a pod that is gone leaves without grace, and a proxy that never answers is not waited for") {
  TestNode node;
  node.enrolment->set_wanted({web()}, kAlive);
  node.enrolment->accepting("shop/web");
  node.did();
  node.enrolment->set_wanted({}, {});
  node.wait(20);
  CHECK(node.did() == "disarm shop/web, removed shop/web");
  node.wait(200);
  CHECK(node.did() == "remove shop/web");
  CHECK(node.enrolment->status().empty());
}

TEST_CASE(
    "a pod whose namespace went first keeps its capture until the proxy has let go, and is asked nothing "
    "again") {
  TestNode node;
  node.enrolment->set_wanted({web()}, kAlive);
  node.enrolment->accepting("shop/web");
  node.did();
  std::filesystem::remove(node.path / "netns" / "pod1");
  node.wait(60);
  CHECK(node.did() == "disarm shop/web, removed shop/web");
  node.enrolment->released("shop/web");
  CHECK(node.did() == "remove shop/web");
  node.enrolment->set_wanted({}, {});
  node.wait(20);
  CHECK(node.did() == "remove shop/web");  // what there may be of it on disk
  CHECK(node.enrolment->status().empty());
}

TEST_CASE("a pod labelled again within the grace was never uncaptured; while draining it is enrolled anew") {
  TestNode node;
  node.enrolment->set_wanted({web()}, kAlive);
  node.enrolment->accepting("shop/web");
  node.did();
  node.enrolment->set_wanted({}, kAlive);
  node.enrolment->set_wanted({web()}, kAlive);
  CHECK(node.announced("shop/web"));
  node.wait(120);
  CHECK(node.did().empty());

  node.enrolment->set_wanted({}, kAlive);
  node.wait(90);
  node.did();
  node.enrolment->set_wanted({web()}, kAlive);
  node.enrolment->released("shop/web");
  CHECK(node.did() == "remove shop/web, prepare shop/web, offer shop/web as spiffe://x");
  node.enrolment->accepting("shop/web");
  CHECK(node.announced("shop/web"));
}

TEST_CASE("a restarted agent takes back what the proxy holds and uncaptures nothing") {
  TestNode node;
  node.capture.known = {{{"shop/web", node.path / "netns" / "pod1", {"10.0.0.1"}}, true, false}};
  REQUIRE(node.announcements->write(web()));
  node.start();
  node.connected = false;
  node.enrolment->set_wanted({web()}, kAlive);
  CHECK(node.did().empty());
  CHECK(node.pod().state == PodState::adopting);
  node.connected = true;
  GivenBack given{"shop/web", 15001, Fd(), {}, {}};
  given.outbound.emplace_back(::eventfd(0, 0));
  given.inbound.emplace_back(::eventfd(0, 0));
  node.enrolment->old_listeners(std::move(given));
  CHECK(node.did() == "adopt shop/web, prepare shop/web, arm shop/web");
  CHECK(node.pod().accepting);
  CHECK(node.announced("shop/web"));
  node.proxy_synced();
  CHECK(node.did() == "offer shop/web to it");  // which has it, and says so again
}

namespace {

GivenBack listeners_of_web() {
  GivenBack given{"shop/web", 15001, Fd(), {}, {}};
  given.outbound.emplace_back(::eventfd(0, 0));
  given.inbound.emplace_back(::eventfd(0, 0));
  return given;
}

}  // namespace

TEST_CASE("listeners that a proxy gives back before the objects are read are kept until they are") {
  TestNode node;
  node.capture.known = {{{"shop/web", node.path / "netns" / "pod1", {"10.0.0.1"}}, true, false}};
  node.capture.served_elsewhere = true;
  node.start();
  node.enrolment->old_listeners(listeners_of_web());
  CHECK(node.did().empty());  // above all it is not told to let go of the pod
  node.enrolment->set_wanted({web()}, kAlive);
  CHECK(node.did() == "adopt shop/web, prepare shop/web, arm shop/web");
  CHECK(node.pod().accepting);
}

TEST_CASE("they are kept although their proxy dies before, and offered to the next") {
  TestNode node;
  node.capture.known = {{{"shop/web", node.path / "netns" / "pod1", {"10.0.0.1"}}, true, false}};
  node.start();
  node.enrolment->old_listeners(listeners_of_web());
  node.enrolment->proxy_gone();
  node.enrolment->set_wanted({web()}, kAlive);
  CHECK(node.did() == "adopt shop/web, prepare shop/web, arm shop/web");
  CHECK_FALSE(node.pod().accepting);
  node.proxy_synced();
  CHECK(node.did() == "offer shop/web as spiffe://x");
}

TEST_CASE("what was given back early of a pod that nobody wants any more is let go of") {
  TestNode node;
  node.start();
  node.enrolment->old_listeners(listeners_of_web());
  node.enrolment->set_wanted({}, {});
  CHECK(node.did() == "removed shop/web");
}

TEST_CASE("a pod of an earlier agent that is wanted a little later than others is looked at like those") {
  TestNode node;
  node.capture.known = {{{"shop/web", node.path / "netns" / "pod1", {"10.0.0.1"}}, true, true}};
  node.capture.holds["shop/web"] = true;
  node.start();
  node.enrolment->set_wanted({}, kAlive);  // as while its object has no address
  node.enrolment->set_wanted({web()}, kAlive);
  CHECK(node.did() == "prepare shop/web, offer shop/web as spiffe://x, arm shop/web");
  node.wait(40);
  CHECK(node.did().empty());  // its namespace is the one it was
}

TEST_CASE("an agent captures as long as a pod is armed") {
  TestNode node;
  CHECK_FALSE(node.enrolment->captures());
  node.connected = false;
  node.enrolment->set_wanted({web()}, kAlive);
  CHECK(node.enrolment->captures());
  node.enrolment->set_wanted({}, {});
  node.wait(20);
  CHECK_FALSE(node.enrolment->captures());
}

TEST_CASE("an agent is the last to hold the listeners of what it captured while no proxy accepts for it") {
  TestNode node;
  CHECK(node.enrolment->held_by_proxies());  // all of none
  node.enrolment->set_wanted({web()}, kAlive);
  CHECK(node.enrolment->held_by_proxies());  // offered, and not yet captured
  node.enrolment->accepting("shop/web");
  CHECK(node.enrolment->held_by_proxies());
  node.enrolment->proxy_gone();
  CHECK_FALSE(node.enrolment->held_by_proxies());
  node.proxy_synced();
  CHECK_FALSE(node.enrolment->held_by_proxies());
  node.enrolment->accepting("shop/web");
  CHECK(node.enrolment->held_by_proxies());
}

TEST_CASE("listeners that no proxy gives back are opened anew") {
  TestNode node;
  node.capture.known = {{{"shop/web", node.path / "netns" / "pod1", {"10.0.0.1"}}, true, false}};
  node.capture.served_elsewhere = true;
  node.start();
  node.enrolment->set_wanted({web()}, kAlive);
  node.proxy_synced();
  CHECK(node.did().empty());  // another proxy may have them, and be on its way back
  node.wait(90);
  CHECK(node.did() == "prepare shop/web, reopen shop/web, offer shop/web as spiffe://x, arm shop/web");

  TestNode dead;
  dead.capture.known = node.capture.known;
  dead.start();
  dead.enrolment->set_wanted({web()}, kAlive);
  dead.proxy_synced();
  CHECK(dead.did().starts_with("prepare shop/web"));  // nobody has them any more

  TestNode lonely;
  lonely.connected = false;
  lonely.capture.known = node.capture.known;
  lonely.start();
  lonely.enrolment->set_wanted({web()}, kAlive);
  lonely.wait(90);
  CHECK(lonely.did().starts_with("prepare shop/web"));
}

TEST_CASE("listeners that come back and are not this pod's are let go of before new ones are offered") {
  TestNode node;
  node.capture.known = {{{"shop/web", node.path / "netns" / "pod1", {"10.0.0.1"}}, true, false}};
  node.capture.served_elsewhere = true;
  node.capture.failing["adopt"] = "another namespace";
  node.start();
  node.enrolment->set_wanted({web()}, kAlive);
  GivenBack given{"shop/web", 15001, Fd(), {}, {}};
  given.outbound.emplace_back(::eventfd(0, 0));
  given.inbound.emplace_back(::eventfd(0, 0));
  node.enrolment->old_listeners(std::move(given));
  CHECK(node.did() == "adopt shop/web, removed shop/web");
  node.proxy_synced();
  node.wait(90);
  CHECK(node.did() == "prepare shop/web, reopen shop/web, arm shop/web");
  node.enrolment->released("shop/web");
  CHECK(node.did() == "offer shop/web as spiffe://x");
}

TEST_CASE("what an earlier agent left and nobody wants is undone") {
  TestNode node;
  node.capture.known = {{{"shop/old", node.path / "netns" / "pod1", {"10.0.0.1"}}, true, false}};
  auto old = web();
  old.uid = "shop/old";
  REQUIRE(node.announcements->write(old));
  auto lost = web();
  lost.uid = "shop/lost";
  REQUIRE(node.announcements->write(lost));
  node.start();
  node.enrolment->set_wanted({}, {});
  CHECK_FALSE(node.announced("shop/old"));
  CHECK_FALSE(node.announced("shop/lost"));
  GivenBack given{"shop/lost", 15001, Fd(), {}, {}};
  node.enrolment->old_listeners(std::move(given));
  CHECK(node.did() == "removed shop/lost");
  node.wait(20);
  CHECK(node.did() == "disarm shop/old, remove shop/old");
}

TEST_CASE("announcements of other nodes are left alone") {
  TestNode node;
  auto other = SharedDirectory::open(node.path / "shared", "n2");
  REQUIRE(other);
  auto theirs = web();
  theirs.uid = "shop/theirs";
  REQUIRE(other->write(theirs));
  node.start();
  CHECK(node.announcements->uids().contains("shop/theirs"));
  CHECK(node.announcements->own().empty());
  node.enrolment->set_wanted({}, {});
  CHECK(node.announced("shop/theirs"));
}

// What an agent finds when it starts, and connections older than the capture.
#include "tests/unit/enrol/fake_node.h"

using namespace weir;
using namespace weir::agent;

namespace {

using Reports = std::vector<std::string>;

void was_captured(TestNode& node, bool armed = true) {
  node.capture.known = {{{"shop/web", node.path / "netns" / "pod1", {"10.0.0.1"}}, armed, true}};
  node.capture.holds["shop/web"] = true;
  node.start();
}

}  // namespace

TEST_CASE(
    "a pod that ran uncaptured when the agent started is said to be found so, one labelled later is not") {
  TestNode node;
  node.connected = false;
  node.capture.older = 3;
  node.enrolment->set_wanted({web()}, kAlive);
  CHECK(node.reports == Reports{"uncaptured 0 3"});
  CHECK(node.pod().found == FoundAs::uncaptured);
  CHECK(node.pod().older_left == 3);
  CHECK(node.changes == Reports{"shop/web", "shop/web"});  // captured, announced

  TestNode later;
  later.connected = false;
  later.capture.older = 2;
  later.enrolment->set_wanted({}, kAlive);
  later.enrolment->set_wanted({web(true)}, kAlive);
  CHECK(later.reports == Reports{"running 2 0"});
  CHECK(later.pod().older_ended == 2);
}

TEST_CASE("an earlier agent's capture is verified, and nothing is done to it when it is whole") {
  TestNode node;
  was_captured(node);
  node.capture.checks = {{"routes", true, "fine"}};
  node.capture.older = 3;
  node.connected = false;
  node.enrolment->set_wanted({web(true)}, kAlive);
  CHECK(node.did().empty());
  CHECK(node.reports == Reports{"whole 0 0"});
  node.wait(90);
  CHECK(node.did() == "prepare shop/web, arm shop/web");
  CHECK(node.pod().found == FoundAs::whole);
  CHECK(node.pod().older_ended == 0);
}

TEST_CASE("a broken capture is mended before anything else, and what bypassed it is ended once it is known") {
  TestNode node;
  was_captured(node);
  node.capture.checks = {{"listeners", true, "fine"}, {"routes", false, "rule 77 is missing"}};
  node.capture.older = 2;
  node.connected = false;
  node.enrolment->set_wanted({web(true)}, kAlive);
  CHECK(node.did() == "prepare shop/web, arm shop/web");
  CHECK(node.reports.empty());
  node.wait(90);
  CHECK(node.did() == "prepare shop/web, arm shop/web, destroy_old shop/web");
  CHECK(node.reports == Reports{"broken 2 0"});
  CHECK(node.pod().found == FoundAs::broken);
}

TEST_CASE(
    "a pod whose listeners nobody had any more is offered with the new ones as soon as there is a proxy") {
  TestNode node;
  node.capture.known = {{{"shop/web", node.path / "netns" / "pod1", {"10.0.0.1"}}, true, false}};
  node.start();
  node.capture.checks = {{"listeners", false, "nobody is in the outbound slot"}};
  node.enrolment->set_wanted({web()}, kAlive);
  CHECK(node.did() == "prepare shop/web, arm shop/web");  // opened by prepare
  node.capture.served_elsewhere = true;                   // by this agent
  node.proxy_synced();
  CHECK(node.did() == "prepare shop/web, offer shop/web as spiffe://x, arm shop/web");
}

TEST_CASE(
    "a proxy that comes back after its listeners were replaced lets go of them and is offered the new") {
  TestNode node;
  node.capture.known = {{{"shop/web", node.path / "netns" / "pod1", {"10.0.0.1"}}, true, false}};
  node.capture.served_elsewhere = true;
  node.connected = false;
  node.start();
  node.enrolment->set_wanted({web()}, kAlive);
  node.wait(90);
  CHECK(node.did() == "prepare shop/web, reopen shop/web, arm shop/web");
  node.connected = true;
  GivenBack given;
  given.uid = "shop/web";
  int ends[2];
  REQUIRE(::pipe(ends) == 0);  // any other files than those it holds now
  given.outbound.emplace_back(ends[0]);
  given.inbound.emplace_back(ends[1]);
  node.enrolment->old_listeners(std::move(given));
  CHECK(node.did() == "removed shop/web");
  node.proxy_synced();
  CHECK(node.did().empty());
  CHECK_FALSE(node.pod().accepting);
  node.enrolment->released("shop/web");
  CHECK(node.did() == "offer shop/web as spiffe://x");
}

TEST_CASE("what another schema's programs have captured is taken over as it is, neither verified nor news") {
  TestNode node;
  was_captured(node, false);
  node.capture.known.front().by_other = true;
  node.capture.checks = {{"map_entry", false, "the pod is not in the map of captured pods"}};
  node.capture.older = 3;
  node.connected = false;
  node.enrolment->set_wanted({web(true)}, kAlive);
  CHECK(node.did().empty());
  CHECK(node.pod().armed);
  node.wait(90);
  CHECK(node.did() == "prepare shop/web, arm shop/web");
  CHECK(node.pod().older_ended == 0);  // it was never uncaptured: nothing has bypassed the proxy
}

TEST_CASE("a capture that was prepared and never armed counts as none") {
  TestNode node;
  was_captured(node, false);
  node.capture.checks = {{"routes", false, "not looked at"}};
  node.connected = false;
  node.enrolment->set_wanted({web()}, kAlive);
  CHECK(node.did().empty());
  node.wait(90);
  CHECK(node.did() == "prepare shop/web, arm shop/web");
  CHECK(node.pod().found == FoundAs::running);
}

TEST_CASE("a pod that is found nowhere keeps its capture, unless a file said where it was") {
  TestNode node;
  bool there = true;
  const std::filesystem::path path = node.path / "netns" / "pod1";
  node.find = [&](const LocalPodSpec&) -> Result<FoundNetns> {
    if (!there) return fail(Source::agent, Reason::io, "no process of it");
    return FoundNetns{path, Fd(::open("/proc/self/ns/net", O_RDONLY)), *namespace_id("/proc/self/ns/net")};
  };
  node.connected = false;
  node.enrolment->set_wanted({web()}, kAlive);
  node.did();
  there = false;
  std::filesystem::remove(path);
  node.wait(60);
  CHECK(node.did().empty());
  CHECK(node.pod().state == PodState::captured);
  CHECK(node.announced("shop/web"));
  there = true;  // another process of it, in the same namespace: where it is found now is remembered
  const std::filesystem::path elsewhere = node.path / "netns" / "pod2";
  node.link("pod2");
  node.find = [&](const LocalPodSpec&) -> Result<FoundNetns> {
    return FoundNetns{elsewhere, Fd(::open("/proc/self/ns/net", O_RDONLY)),
                      *namespace_id("/proc/self/ns/net")};
  };
  node.wait(60);
  CHECK(node.did() == "prepare shop/web, arm shop/web");
  CHECK(node.pod().netns_path == elsewhere);
}

TEST_CASE("a namespace told anew is taken at once, and a starting pod's connections are not looked for") {
  TestNode node;
  node.connected = false;
  node.capture.older = 5;
  const char* now = "/proc/self/ns/net";
  node.find = [&](const LocalPodSpec&) -> Result<FoundNetns> {
    return FoundNetns{now, Fd(::open("/proc/self/ns/net", O_RDONLY)), *namespace_id(now), true};
  };
  node.enrolment->set_wanted({web(true)}, kAlive);
  CHECK(node.did() == "prepare shop/web, arm shop/web");
  CHECK(node.reports == Reports{"starting 0 0"});
  node.enrolment->recheck("shop/web");
  CHECK(node.did().empty());
  now = "/proc/self/ns/uts";  // any other namespace
  node.enrolment->recheck("shop/web");
  CHECK(node.did() == "prepare shop/web, arm shop/web");
  CHECK(node.reports == Reports{"starting 0 0", "starting 0 0"});
  CHECK(node.pod().netns == *namespace_id("/proc/self/ns/uts"));
}

TEST_CASE("a pod that can never be captured is shown as refused, and captured when that ends") {
  TestNode node;
  node.connected = false;
  bool boxed = true;
  node.find = [&](const LocalPodSpec&) -> Result<FoundNetns> {
    if (boxed) return fail(Source::agent, Reason::bad_config, "runs in a sandbox");
    return FoundNetns{"/proc/self/ns/net", Fd(::open("/proc/self/ns/net", O_RDONLY)),
                      *namespace_id("/proc/self/ns/net")};
  };
  node.enrolment->set_wanted({web()}, kAlive);
  CHECK(node.pod().refused);
  CHECK(node.pod().error == "runs in a sandbox");
  CHECK(node.changes == Reports{"shop/web"});
  boxed = false;
  node.wait(120);
  CHECK_FALSE(node.pod().refused);
  CHECK(node.pod().state == PodState::captured);
}

// The steps of a pod in and out of the mesh, with a capture that only writes down what it was asked.
#include "agent/enrol/enrolment.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>

using namespace weir;
using namespace weir::agent;

namespace {

struct FakeCapture : Capture {
  std::vector<std::string>& log;
  std::map<std::string, std::string> failing;  // step → error
  std::vector<KnownPod> known;
  std::map<std::string, bool> holds;  // uid → has listeners here
  bool served = false;                // the listeners live in a proxy: prepare opens none
  Fd listener{::eventfd(0, 0)}, netns{::open("/proc/self/ns/net", O_RDONLY)};

  explicit FakeCapture(std::vector<std::string>& to) : log(to) {}
  Status step(const std::string& name, const std::string& uid) {
    log.push_back(name + " " + uid);
    const auto found = failing.find(name);
    return found == failing.end() ? Status() : fail(Source::kernel, Reason::io, found->second);
  }
  std::vector<KnownPod> known_pods() const override { return known; }
  Status prepare(const PodSpec& pod) override {
    auto done = step("prepare", pod.uid);
    if (done && !served) holds[pod.uid] = true;
    return done;
  }
  Status arm(const std::string& uid) override { return step("arm", uid); }
  Status disarm(const std::string& uid) override { return step("disarm", uid); }
  Status remove(const std::string& uid) override { return step("remove", uid); }
  Result<PodListeners> listeners(const std::string& uid) const override {
    const auto held = holds.find(uid);
    if (held == holds.end() || !held->second) return fail(Source::agent, Reason::internal, "none held");
    return PodListeners{netns.get(), 1, 15001, {listener.get()}, {listener.get()}};
  }
  Status adopt_listeners(const std::string& uid, std::vector<int> outbound,
                         std::vector<int> inbound) override {
    for (const int fd : outbound) ::close(fd);
    for (const int fd : inbound) ::close(fd);
    auto done = step("adopt", uid);
    if (done) holds[uid] = true;
    return done;
  }
  Status reopen_listeners(const std::string& uid) override {
    holds[uid] = true;
    return step("reopen", uid);
  }
  Result<uint64_t> destroy_old_connections(const std::string& uid) override {
    log.push_back("destroy_old " + uid);
    return 0;
  }
};

struct TestNode {
  std::filesystem::path path;
  std::vector<std::string> log;
  Loop loop;
  FakeCapture capture{log};
  std::optional<Announcements> announcements;
  bool connected = true;
  std::optional<Enrolment> enrolment;

  TestNode() {
    std::string name = (std::filesystem::temp_directory_path() / "weir-enrol-XXXXXX").string();
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    path = name;
    std::filesystem::create_directory(path / "netns");
    link("pod1");
    start();
  }
  ~TestNode() {
    enrolment.reset();
    std::filesystem::remove_all(path);
  }
  void start() {
    enrolment.reset();
    announcements.reset();
    auto opened = Announcements::open(path / "shared", "n1");
    REQUIRE(opened);
    announcements = std::move(*opened);
    Enrolment::Options options;
    options.netns_dir = path / "netns";
    options.adoption_wait = options.accept_wait = std::chrono::milliseconds(60);
    options.grace = std::chrono::milliseconds(60);
    options.drain_wait = options.removed_wait = std::chrono::milliseconds(150);
    options.netns_check = std::chrono::milliseconds(20);
    PodChannel channel;
    channel.connected = [this] { return connected; };
    channel.offer = [this](const PodDescriptors& pod) {
      log.push_back("offer " + pod.uid + " as " + pod.identity);
      return connected;
    };
    channel.gone = [this](const std::string& uid, bool removed) {
      log.push_back((removed ? "removed " : "unenrolled ") + uid);
      return connected;
    };
    enrolment.emplace(loop, capture, *announcements, std::move(channel), options);
  }
  // A symbolic link to our own namespace stands for the pod's file.
  void link(const std::string& name, const char* target = "/proc/self/ns/net") const {
    std::filesystem::remove(path / "netns" / name);
    std::filesystem::create_symlink(target, path / "netns" / name);
  }
  void wait(int ms) {
    const auto end = Loop::Clock::now() + std::chrono::milliseconds(ms);
    while (Loop::Clock::now() < end) loop.run_once(std::chrono::milliseconds(5));
  }
  std::string did() {
    std::string out;
    for (const auto& one : log) out += (out.empty() ? "" : ", ") + one;
    log.clear();
    return out;
  }
  bool announced(const std::string& uid) const {
    return std::filesystem::exists(path / "shared" / "captured" / Announcements::file_name(uid));
  }
  PodStatus pod() const {
    const auto all = enrolment->status();
    REQUIRE(all.size() == 1);
    return all[0];
  }
};

LocalPodSpec web(bool guarded = false) {
  return {"shop/web", {"shop", "web"}, "spiffe://x", {"10.0.0.1"}, "pod1", Mode::permissive, guarded};
}
const std::set<std::string> kAlive{"shop/web"};

}  // namespace

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
  lonely.enrolment->proxy_synced();
  CHECK(lonely.did() == "offer shop/web as spiffe://x");
  lonely.enrolment->accepting("shop/web");
  CHECK(lonely.did().empty());
  CHECK(lonely.enrolment->settled());
}

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

  TestNode without;
  auto spec = web();
  spec.netns.clear();
  without.enrolment->set_wanted({spec}, kAlive);
  CHECK_THAT(without.pod().error, Catch::Contains("weir.dev/netns"));
  spec.netns = "../pod1";
  without.enrolment->set_wanted({spec}, kAlive);
  CHECK_THAT(without.pod().error, Catch::Contains("no name"));
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

TEST_CASE("a restarted agent takes back what the proxy holds and uncaptures nothing") {
  TestNode node;
  node.capture.known = {{{"shop/web", node.path / "netns" / "pod1", {"10.0.0.1"}}, true, false}};
  REQUIRE(node.announcements->announce(web()));
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
  node.enrolment->proxy_synced();
  CHECK(node.did().empty());
}

TEST_CASE("listeners that no proxy gives back are opened anew") {
  TestNode node;
  node.capture.known = {{{"shop/web", node.path / "netns" / "pod1", {"10.0.0.1"}}, true, false}};
  node.capture.served = true;
  node.start();
  node.enrolment->set_wanted({web()}, kAlive);
  node.enrolment->proxy_synced();
  CHECK(node.did() == "prepare shop/web, reopen shop/web, offer shop/web as spiffe://x, arm shop/web");

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
  node.capture.served = true;
  node.capture.failing["adopt"] = "another namespace";
  node.start();
  node.enrolment->set_wanted({web()}, kAlive);
  GivenBack given{"shop/web", 15001, Fd(), {}, {}};
  given.outbound.emplace_back(::eventfd(0, 0));
  given.inbound.emplace_back(::eventfd(0, 0));
  node.enrolment->old_listeners(std::move(given));
  CHECK(node.did() == "adopt shop/web, removed shop/web");
  node.enrolment->proxy_synced();
  CHECK(node.did() == "prepare shop/web, reopen shop/web, arm shop/web");
  node.enrolment->released("shop/web");
  CHECK(node.did() == "offer shop/web as spiffe://x");
}

TEST_CASE("what an earlier agent left and nobody wants is undone") {
  TestNode node;
  node.capture.known = {{{"shop/old", node.path / "netns" / "pod1", {"10.0.0.1"}}, true, false}};
  auto old = web();
  old.uid = "shop/old";
  REQUIRE(node.announcements->announce(old));
  auto lost = web();
  lost.uid = "shop/lost";
  REQUIRE(node.announcements->announce(lost));
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
  auto other = Announcements::open(node.path / "shared", "n2");
  REQUIRE(other);
  auto theirs = web();
  theirs.uid = "shop/theirs";
  REQUIRE(other->announce(theirs));
  node.start();
  CHECK(node.announcements->uids().contains("shop/theirs"));
  CHECK(node.announcements->own().empty());
  node.enrolment->set_wanted({}, {});
  CHECK(node.announced("shop/theirs"));
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
  node.enrolment->proxy_synced();
  CHECK(node.did() == "offer shop/web as spiffe://x");
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
  CHECK(node.did().starts_with("removed shop/web, remove shop/web"));
  CHECK_FALSE(node.announced("shop/web"));
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

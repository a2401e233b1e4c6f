// Enrolment while announcements take their time: announced last, withdrawn first, whatever the API server does.
#include "tests/unit/enrol/fake_node.h"

using namespace weir;
using namespace weir::agent;

namespace {

// Words wait until the test lets them pass or fail.
struct SlowAnnouncements : Announcements {
  std::vector<std::string>& log;
  std::set<std::string> seen;
  std::vector<std::pair<std::string, Done>> waiting;

  explicit SlowAnnouncements(std::vector<std::string>& to) : log(to) {}
  bool read() override { return false; }
  const std::set<std::string>& uids() const override { return seen; }
  std::set<std::string> own() const override { return seen; }
  void announce(const LocalPodSpec& pod, Done done) override {
    waiting.emplace_back("announce " + pod.uid, std::move(done));
  }
  void withdraw(const std::string& uid, Done done) override {
    waiting.emplace_back("withdraw " + uid, std::move(done));
  }
  void answer(bool well) {
    REQUIRE_FALSE(waiting.empty());
    auto [word, done] = std::move(waiting.front());
    waiting.erase(waiting.begin());
    log.push_back(word + (well ? "" : " failed"));
    done(well ? Status() : fail(Source::agent, Reason::refused, "away"));
  }
};

struct SlowNode : TestNode {
  SlowAnnouncements slow{log};
  SlowNode() { begin(); }
  ~SlowNode() { enrolment.reset(); }
  void begin() {
    enrolment.reset();
    Enrolment::Options options;
    options.find_netns = [this](const LocalPodSpec& pod, const std::filesystem::path&) {
      return named_netns(path / "netns", pod);
    };
    options.adoption_wait = options.accept_wait = options.grace = std::chrono::milliseconds(60);
    options.drain_wait = options.removed_wait = std::chrono::milliseconds(150);
    PodChannel channel;
    channel.connected = [] { return true; };
    channel.offer = [](const PodDescriptors&) { return true; };
    channel.gone = [this](const std::string& uid, bool) {
      log.push_back("gone " + uid);
      return true;
    };
    enrolment.emplace(loop, capture, slow, std::move(channel), options);
  }
  void captured() {
    enrolment->set_wanted({web()}, kAlive);
    enrolment->accepting("shop/web");
    CHECK(did() == "prepare shop/web, arm shop/web");
    slow.answer(true);
    did();
  }
};

}  // namespace

TEST_CASE("a pod counts as announced once that is confirmed") {
  SlowNode node;
  node.enrolment->set_wanted({web()}, kAlive);
  node.enrolment->accepting("shop/web");
  CHECK(node.pod().state == PodState::captured);
  CHECK_FALSE(node.pod().announced);
  node.slow.answer(false);
  CHECK_FALSE(node.pod().announced);
  CHECK_THAT(node.pod().error, Catch::Contains("announcing") && Catch::Contains("away"));
}

TEST_CASE("a pod is not disarmed before its withdrawal is confirmed, and the grace begins then") {
  SlowNode node;
  node.captured();
  CHECK(node.pod().announced);
  node.enrolment->set_wanted({}, kAlive);
  node.wait(150);
  CHECK(node.did().empty());
  CHECK(node.pod().armed);
  node.slow.answer(true);
  CHECK(node.did() == "withdraw shop/web");
  node.wait(20);
  CHECK(node.did().empty());
  node.wait(80);
  CHECK(node.did() == "disarm shop/web, gone shop/web");
}

TEST_CASE("a withdrawal that fails is tried again, for as long as it takes") {
  SlowNode node;
  node.captured();
  node.enrolment->set_wanted({}, kAlive);
  for (int i = 0; i < 3; ++i) {
    node.slow.answer(false);
    node.wait(90);
    CHECK(node.did() == "withdraw shop/web failed");
    CHECK_THAT(node.pod().error, Catch::Contains("withdrawing"));
    REQUIRE(node.slow.waiting.size() == 1);
  }
  node.slow.answer(true);
  node.wait(90);
  CHECK(node.did() == "withdraw shop/web, disarm shop/web, gone shop/web");
}

TEST_CASE("an announcement that was not confirmed is withdrawn all the same: it may have been seen") {
  SlowNode node;
  node.enrolment->set_wanted({web()}, kAlive);
  node.enrolment->accepting("shop/web");
  node.did();
  node.enrolment->set_wanted({}, kAlive);
  CHECK(node.slow.waiting.size() == 2);
  node.slow.answer(true);  // the announcement, late: no news
  node.wait(100);
  CHECK(node.did() == "announce shop/web");
  CHECK(node.pod().armed);
  node.slow.answer(true);
  node.wait(90);
  CHECK(node.did() == "withdraw shop/web, disarm shop/web, gone shop/web");
}

TEST_CASE("a pod labelled again while its withdrawal is under way stays captured and is announced anew") {
  SlowNode node;
  node.captured();
  node.enrolment->set_wanted({}, kAlive);
  node.enrolment->set_wanted({web()}, kAlive);
  REQUIRE(node.slow.waiting.size() == 2);
  node.slow.answer(true);  // the withdrawal: it must not uncapture the pod now
  node.wait(90);
  CHECK(node.did() == "withdraw shop/web");
  node.slow.answer(true);
  CHECK(node.did() == "announce shop/web");
  CHECK(node.pod().state == PodState::captured);
  CHECK(node.pod().announced);
}

TEST_CASE("what an earlier agent announced and nobody captures is withdrawn, again until it succeeds") {
  SlowNode node;
  node.slow.seen = {"shop/lost"};
  node.begin();
  node.enrolment->set_wanted({}, {});
  REQUIRE(node.slow.waiting.size() == 1);
  node.slow.answer(false);
  CHECK(node.did() == "withdraw shop/lost failed");
  node.wait(5100);
  REQUIRE(node.slow.waiting.size() == 1);
  node.slow.answer(true);
  node.wait(20);
  CHECK(node.slow.waiting.empty());
}

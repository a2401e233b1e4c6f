// Announcing pods in the API server: what is written, in which order, and what is believed.
#include "agent/enrol/annotations.h"

#include <nlohmann/json.hpp>
#include <optional>

#include "tests/unit/enrol/fake_node.h"
#include "tests/unit/kube/fake_server.h"

using namespace weir;
using namespace weir::agent;
using Json = nlohmann::json;

namespace {

struct FakeSource : ObjectSource {
  Objects all;
  void start(std::function<void()>) override {}
  std::string not_synced() const override { return {}; }
  bool connected() const override { return true; }
  const Objects& objects() const override { return all; }
  std::vector<SourceError> errors() const override { return {}; }
  std::string describe() const override { return {}; }
  std::string status_json() const override { return "{}"; }
  void tell_metrics(const SetMetric&) const override {}

  Pod& pod(const std::string& name, const std::string& uid, const std::string& node) {
    Pod& out = all.pods[{"shop", name}];
    out.meta.name = name;
    out.meta.ns = "shop";
    out.meta.uid = uid;
    out.node = node;
    return out;
  }
};

LocalPodSpec spec(const std::string& uid = "u1") {
  return {uid, {"shop", "web"}, "spiffe://x", {}, "", {}, false};
}

struct Fixture {
  Loop loop;
  std::deque<FakeServer::Request> requests;
  FakeServer server{loop, [this](const FakeServer::Request& request) { requests.push_back(request); }};
  FakeSource source;
  std::optional<kube::Client> client;
  std::optional<PodAnnotations> announcements;
  std::string said;

  Fixture() {
    kube::ClientOptions to;
    to.server = server.url();
    client.emplace(loop, to);
    announcements.emplace(*client, source, "n1");
    source.pod("web", "u1", "n1");
  }
  ~Fixture() {
    announcements.reset();
    client.reset();
  }
  Announcements::Done say(const std::string& word) {
    return [this, word](Status status) { said += word + (status ? " " : "! "); };
  }
  const FakeServer::Request& next(size_t count) {
    turn_until(loop, [&] { return requests.size() == count; });
    return requests.back();
  }
  void expect(const std::string& words) {
    turn_until(loop, [&] { return said.size() >= words.size(); });
    CHECK(std::exchange(said, {}) == words);
  }
  void shown(const std::string& value) {
    auto& annotations = source.all.pods.at({"shop", "web"}).meta.annotations;
    if (value.empty()) {
      annotations.clear();
    } else {
      annotations[PodAnnotations::kAnnotation] = value;
    }
    announcements->read();
  }
};

}  // namespace

TEST_CASE("an announcement is a patch of the pod that names node and uid; its withdrawal a null") {
  Fixture f;
  f.announcements->announce(spec(), f.say("announced"));
  CHECK(f.said.empty());
  const auto& first = f.next(1);
  CHECK(first.method == "PATCH");
  CHECK(first.path == "/api/v1/namespaces/shop/pods/web");
  CHECK(first.header("Content-Type") == "application/merge-patch+json");
  const auto patch = Json::parse(first.body);
  CHECK(patch["metadata"]["uid"] == "u1");
  CHECK_THAT(patch["metadata"]["annotations"]["weir.dev/captured"].get<std::string>(),
             Catch::StartsWith("n1 u1 20"));
  first.answer(200, "{}");
  f.expect("announced ");
  f.announcements->withdraw("u1", f.say("withdrawn"));  // although no source has shown it yet
  const auto& second = f.next(2);
  CHECK(Json::parse(second.body)["metadata"]["annotations"]["weir.dev/captured"].is_null());
  CHECK(f.said.empty());
  second.answer(200, "{}");
  f.expect("withdrawn ");
}

TEST_CASE("only an annotation about this very pod on its own node announces it") {
  Fixture f;
  f.source.pod("other", "u2", "n2").meta.annotations[PodAnnotations::kAnnotation] = "n2 u2 2026";
  f.source.pod("copy", "u3", "n2").meta.annotations[PodAnnotations::kAnnotation] = "n2 u2 2026";
  f.source.pod("moved", "u4", "n2").meta.annotations[PodAnnotations::kAnnotation] = "n1 u4 2026";
  f.source.pod("prefix", "u", "n2").meta.annotations[PodAnnotations::kAnnotation] = "n2 u2 2026";
  f.shown("n1 u1 2026");
  CHECK(f.announcements->uids() == std::set<std::string>{"u1", "u2"});
  CHECK(f.announcements->own() == std::set<std::string>{"u1"});
  CHECK_FALSE(f.announcements->read());
  f.source.all.pods.erase({"shop", "other"});
  CHECK(f.announcements->read());
}

TEST_CASE("an agent that starts again writes nothing that is there already, nor withdraws what is not") {
  Fixture f;
  f.shown("n1 u1 2026");
  f.announcements->announce(spec(), f.say("announced"));
  CHECK(f.said == "announced ");
  f.shown("");
  f.announcements->withdraw("u1", f.say("withdrawn"));
  CHECK(f.said == "announced withdrawn ");
  turn_for(f.loop, 30);
  CHECK(f.requests.empty());
}

TEST_CASE("what the source shows late does not hide what was written last") {
  Fixture f;
  f.shown("n1 u1 2026");
  f.announcements->withdraw("u1", f.say("withdrawn"));
  f.next(1).answer(200, "{}");
  f.expect("withdrawn ");
  f.announcements->announce(spec(), f.say("announced"));  // the source shows the old annotation still
  const auto& again = f.next(2);
  CHECK(f.said.empty());
  again.answer(200, "{}");
  f.expect("announced ");
}

TEST_CASE("words of one pod are written one after the other, and the last of those that wait alone") {
  Fixture f;
  f.announcements->announce(spec(), f.say("announced"));
  const auto& first = f.next(1);
  f.announcements->withdraw("u1", f.say("withdrawn"));
  f.announcements->announce(spec(), f.say("again"));
  turn_for(f.loop, 30);
  CHECK(f.requests.size() == 1);
  CHECK(f.said == "withdrawn! ");
  first.answer(200, "{}");
  const auto& second = f.next(2);
  CHECK(Json::parse(second.body)["metadata"]["annotations"]["weir.dev/captured"].is_string());
  second.answer(200, "{}");
  f.expect("withdrawn! announced again ");
}

TEST_CASE("what the API server refuses, or does not hear, is an error") {
  Fixture f;
  f.announcements->announce(spec(), f.say("announced"));
  const int status = GENERATE(403, 422);
  f.next(1).answer(status, R"({"message":"forbidden","details":{"causes":[{"field":"metadata.labels"}]}})");
  f.expect("announced! ");
  f.shown("n1 u1 2026");
  f.server.stop();
  f.announcements->withdraw("u1", f.say("withdrawn"));
  f.expect("withdrawn! ");
}

TEST_CASE("a pod that is gone is as good as withdrawn, and cannot be announced") {
  Fixture f;
  const int status = GENERATE(404, 409, 422);
  const std::string body = status == 422 ? R"({"details":{"causes":[{"field":"metadata.uid"}]}})" : "";
  f.announcements->announce(spec(), f.say("announced"));
  f.next(1).answer(status, body);
  f.expect("announced! ");
  f.shown("n1 u1 2026");
  f.announcements->withdraw("u1", f.say("withdrawn"));
  f.next(2).answer(status, body);
  f.expect("withdrawn ");
  f.source.all.pods.clear();
  f.announcements->withdraw("u1", f.say("withdrawn"));
  CHECK(f.said == "withdrawn ");
  CHECK(f.requests.size() == 2);
}

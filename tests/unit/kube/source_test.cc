// Many kinds as one source: when it is complete, what a refused object leaves, and that a burst is one change.
#include "agent/kube/source.h"

#include <nlohmann/json.hpp>
#include <optional>

#include "tests/unit/kube/fake_server.h"

using namespace weir;
using namespace weir::agent;
using Json = nlohmann::json;

namespace {

constexpr size_t kPod = 2, kPolicy = 7, kRoute = 9;

Json object(const std::string& name, const std::string& uid, Json spec) {
  static int version = 0;
  return {
      {"metadata",
       {{"name", name}, {"namespace", "shop"}, {"uid", uid}, {"resourceVersion", std::to_string(++version)}}},
      {"spec", std::move(spec)}};
}
Json pod(const std::string& name) { return object(name, "u-" + name, {{"nodeName", "n1"}}); }
Json good_policy(const std::string& uid) { return object("p", uid, {{"action", "Audit"}}); }
Json bad_policy(const std::string& uid) { return object("p", uid, {{"action", "Deny"}, {"rulez", 1}}); }

struct Fixture {
  Loop loop;
  std::map<std::string, FakeServer::Request> streams;  // by path: the newest
  FakeServer server{loop, [this](const FakeServer::Request& request) {
                      streams.insert_or_assign(request.path, request);
                      if (missing.contains(request.path)) return request.answer(404, "");
                      request.begin_stream();
                    }};
  std::set<std::string> missing;
  std::optional<kube::Client> client;
  std::optional<kube::Source> source;
  int changes = 0;

  ~Fixture() {
    source.reset();
    client.reset();
  }
  void start(const std::vector<size_t>& kinds) {
    kube::ClientOptions to;
    to.server = server.url();
    client.emplace(loop, to);
    kube::Source::Options options;
    const auto all = kube::watched_kinds();
    options.kinds.clear();
    for (const size_t kind : kinds) options.kinds.push_back(all.at(kind));
    source.emplace(loop, *client, options);
    source->start([this] { ++changes; });
    turn_until(loop, [&] { return streams.size() == kinds.size(); });
  }
  void tell(size_t kind, const std::string& type, const Json& object) {
    streams.at(kube::watched_kinds()[kind].resource.path)
        .chunk(Json{{"type", type}, {"object", object}}.dump() + "\n");
  }
  void end_list(size_t kind) {
    tell(
        kind, "BOOKMARK",
        {{"metadata", {{"resourceVersion", "1"}, {"annotations", {{"k8s.io/initial-events-end", "true"}}}}}});
  }
  void until_changes(int count) {
    turn_until(loop, [&] { return changes >= count; });
    turn_for(loop, 40);
    CHECK(changes == count);
  }
  const AuthorizationPolicy& policy() const {
    return source->objects().authorization_policies.at({"shop", "p"});
  }
};

}  // namespace

TEST_CASE("every kind of the model is read, each under its own path") {
  const auto kinds = kube::watched_kinds();
  REQUIRE(kinds.size() == std::variant_size_v<Object>);
  std::set<std::string> paths;
  for (size_t index = 0; index < kinds.size(); ++index) {
    CHECK(kinds[index].index == index);
    paths.insert(kinds[index].resource.path);
  }
  CHECK(paths.size() == kinds.size());
  CHECK(kinds[kPod].resource.path == "/api/v1/pods");
  CHECK(kinds[5].resource.path == "/api/v1/namespaces/weir-system/configmaps");
}

TEST_CASE("nothing is told before every kind has been listed once, and then all of it as one change") {
  Fixture f;
  f.start({kPod, kRoute});
  f.tell(kPod, "ADDED", pod("a"));
  f.tell(kPod, "ADDED", pod("b"));
  f.end_list(kPod);
  turn_for(f.loop, 60);
  CHECK(f.changes == 0);
  CHECK(f.source->not_synced() == "the API server has not yet listed HTTPRoute");
  f.end_list(kRoute);
  f.until_changes(1);
  CHECK(f.source->not_synced().empty());
  CHECK(f.source->connected());
  CHECK(f.source->objects().pods.size() == 2);
  f.tell(kPod, "ADDED", pod("c"));
  f.tell(kPod, "DELETED", pod("a"));
  f.until_changes(2);
  CHECK(f.source->objects().pods.size() == 2);
  CHECK(f.source->objects().pods.contains({"shop", "c"}));
}

TEST_CASE("a kind that is not installed keeps everything waiting if it is Weir's own, and else nothing") {
  Fixture f;
  const bool policies = GENERATE(false, true);
  f.missing.insert(kube::watched_kinds()[policies ? kPolicy : kRoute].resource.path);
  f.start({kPod, policies ? kPolicy : kRoute});
  f.end_list(kPod);
  turn_for(f.loop, 60);
  CHECK(f.changes == (policies ? 0 : 1));
  const std::string waiting = f.source->not_synced();
  CHECK(waiting.empty() != policies);
  if (policies) CHECK_THAT(waiting, Catch::Contains("CustomResourceDefinitions are not installed"));
  CHECK_THAT(f.source->status_json(), Catch::Contains(R"("installed":false)"));
}

TEST_CASE("an object that is refused keeps its last good form, and is named") {
  Fixture f;
  f.start({kPolicy});
  f.tell(kPolicy, "ADDED", good_policy("1"));
  f.end_list(kPolicy);
  f.until_changes(1);
  f.tell(kPolicy, "MODIFIED", bad_policy("1"));
  f.until_changes(2);
  CHECK(f.policy().action == Action::audit);
  CHECK(f.policy().invalid.empty());
  REQUIRE(f.source->errors().size() == 1);
  CHECK_THAT(f.source->errors()[0].text(),
             Catch::StartsWith("AuthorizationPolicy shop/p: spec.rulez is not known"));
  f.tell(kPolicy, "MODIFIED", good_policy("1"));
  f.until_changes(3);
  CHECK(f.source->errors().empty());
}

TEST_CASE("a policy that was never accepted counts as invalid until it is good or gone") {
  Fixture f;
  f.start({kPolicy});
  f.tell(kPolicy, "ADDED", bad_policy("1"));
  f.end_list(kPolicy);
  f.until_changes(1);
  CHECK_THAT(f.policy().invalid, Catch::Contains("rulez"));
  CHECK(f.policy().action == Action::deny);
  auto worse = bad_policy("1");
  worse["spec"]["action"] = "Allow";
  f.tell(kPolicy, "MODIFIED", worse);
  f.until_changes(2);
  CHECK(f.policy().action == Action::allow);  // as it would now be meant
  SECTION("good") {
    f.tell(kPolicy, "MODIFIED", good_policy("1"));
    f.until_changes(3);
    CHECK(f.policy().invalid.empty());
  }
  SECTION("gone") {
    f.tell(kPolicy, "DELETED", worse);
    f.until_changes(3);
    CHECK(f.source->objects().authorization_policies.empty());
    CHECK(f.source->errors().empty());
  }
}

TEST_CASE("the last good form of a deleted object does not stand in for another of its name") {
  Fixture f;
  f.start({kPolicy, kPod});
  f.tell(kPolicy, "ADDED", good_policy("1"));
  f.tell(kPod, "ADDED", pod("a"));
  f.end_list(kPolicy);
  f.end_list(kPod);
  f.until_changes(1);
  f.tell(kPolicy, "MODIFIED", bad_policy("2"));
  f.tell(kPod, "MODIFIED", object("a", "another", {{"nodeName", "Not A Name"}}));
  f.until_changes(2);
  CHECK_FALSE(f.policy().invalid.empty());
  CHECK(f.source->objects().pods.empty());
  CHECK(f.source->errors().size() == 2);
}

TEST_CASE("metrics and status name each kind") {
  Fixture f;
  f.start({kPod});
  f.tell(kPod, "ADDED", pod("a"));
  f.end_list(kPod);
  f.until_changes(1);
  std::map<std::string, double> values;
  f.source->tell_metrics([&](const char* name, double value, const Labels& labels) {
    values[name + (labels.empty() ? "" : " " + labels.at("kind"))] = value;
  });
  CHECK(values.at("weir_agent_kube_connected Pod") == 1);
  CHECK(values.at("weir_agent_kube_objects Pod") == 1);
  CHECK(values.at("weir_agent_kube_events_total Pod") == 2);
  CHECK(values.at("weir_agent_kube_received_bytes_total") > 100);
  f.server.stop();
  turn_until(f.loop, [&] { return !f.source->connected(); });
  CHECK(f.source->objects().pods.size() == 1);
  CHECK(f.source->not_synced().empty());
}

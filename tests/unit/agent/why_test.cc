// The answer to "why": every part, with what a person should look at.
#include "agent/why.h"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "tests/unit/derive/yaml_world.h"

using namespace weir::agent;
using Json = nlohmann::ordered_json;

namespace {

// A world, what is made of it, and what the agent knows of shop/web.
struct Asked {
  YamlWorld world;
  std::map<ResourceId, Sync::Quarantined> quarantine;
  std::optional<PodStatus> capture = captured();
  static PodStatus captured() {
    PodStatus status;
    status.state = PodState::captured;
    status.armed = status.announced = status.accepting = true;
    return status;
  }
  bool connected = true;

  Asked() {
    world.pod("web", "10.0.0.1").meta.labels = {{"app", "web"}};
    pod().ports = {{"http", 8080}};
    world.web();
    world.announced = {"shop/web"};
  }
  Pod& pod() { return world.objects.pods.at({"shop", "web"}); }
  Json answer(const std::string& name = "shop/web") const {
    const Derived derived = world.derived();
    WhyFacts facts{{world.objects, world.node, "cluster.local", world.announced, world.trust},
                   derived.resources,
                   derived.notes,
                   connected ? &quarantine : nullptr,
                   capture};
    auto found = why(facts, name);
    REQUIRE(found);
    return *found;
  }
  std::string warnings() const { return answer()["warnings"].dump(); }
};

}  // namespace

TEST_CASE("a pod that is captured and bound by nothing is told with nothing to look at") {
  Asked asked;
  const Json answer = asked.answer();
  CHECK(answer["identity"] == "spiffe://cluster.local/ns/shop/sa/web");
  CHECK(answer["capture"]["state"] == "captured");
  CHECK(answer["mode"] == Json::parse(R"({"mode":"Permissive","by":"","level":"default"})"));
  CHECK(answer["policies"].empty());
  CHECK(answer["services"][0]["service"] == "shop/web");
  CHECK(answer["ports"][0]["services"][0] ==
        Json::parse(R"({"service":"shop/web","port":80,"protocol":"HTTP"})"));
  CHECK(asked.warnings() == "[]");
  asked.pod().ports = {{"http", 8081}};
  CHECK(asked.warnings() ==
        R"(["port 8080: Service shop/web leads there, and the pod does not declare it"])");
}

TEST_CASE("there is no answer for a pod that is not there, or for what is no name") {
  Asked asked;
  const Derived derived = asked.world.derived();
  const WhyFacts facts{{asked.world.objects, "n1", "x", asked.world.announced, asked.world.trust},
                       derived.resources,
                       derived.notes,
                       nullptr,
                       {}};
  CHECK_FALSE(why(facts, "shop/none"));
  CHECK_FALSE(why(facts, "web"));
  CHECK_FALSE(why(facts, ""));
}

TEST_CASE(
    "routes are told in the order of precedence, with where they lead, and those of the pod's own calls "
    "apart") {
  Asked asked;
  asked.world.objects.add(Namespace{.meta = {.name = "other"}});
  asked.world.web("api", "other");
  asked.world.rules("r",
                    "{matches: [{path: {value: /}}], backendRefs: [{name: web, port: 80}]}, "
                    "{name: cart, matches: [{path: {value: /cart}, headers: [{name: X-A, value: b}]}], "
                    "backendRefs: [{name: web, port: 80, weight: 3}]}");
  asked.world.route("mine",
                    "{parentRefs: [{group: \"\", kind: Service, name: api, namespace: other}], rules: "
                    "[{backendRefs: [{name: web, port: 80}]}]}");
  const Json answer = asked.answer();
  const Json& matches = answer["services"][0]["routes"][0]["matches"];
  REQUIRE(matches.size() == 2);
  CHECK(matches[0]["rule"] == "shop/r/cart");
  CHECK(matches[0]["path"] == "prefix /cart");
  CHECK(matches[0]["headers"][0] == "x-a=b");
  CHECK(matches[0]["backends"][0]["weight"] == 3);
  CHECK(matches[1]["path"] == "");
  REQUIRE(answer["consumer_routes"].size() == 1);
  CHECK(answer["consumer_routes"][0]["service"] == "other/api");
  CHECK(answer["consumer_routes"][0]["consumer_namespace"] == "shop");
}

TEST_CASE("policies are told in their authors' words") {
  Asked asked;
  auto& policy = asked.world.policy("shop", "p");
  policy.action = Action::deny;
  policy.rules = {Rule{.name = "no-batch",
                       .from = {Match{.principals = {"cluster.local/ns/batch/*"}}},
                       .to = {Match{.not_ports = {1}, .methods = {"GET"}}}}};
  const Json told = asked.answer()["policies"];
  CHECK(told ==
        Json::parse(R"([{"policy":"shop/p","action":"Deny","level":"namespace","ports":[],"invalid":"",
    "rules":[{"name":"no-batch","from":[{"principals":["cluster.local/ns/batch/*"]}],
              "to":[{"notPorts":[1],"methods":["GET"]}]}]}])"));
}

TEST_CASE("capture that is not as it should be is the first thing to look at") {
  Asked asked;
  asked.capture->state = PodState::waiting;
  asked.capture->error = "no netns";
  CHECK_THAT(asked.warnings(), Catch::Contains("its traffic is not captured: waiting: no netns"));
  asked.capture->state = PodState::captured;
  asked.capture->accepting = false;
  CHECK_THAT(asked.warnings(), Catch::Contains("no proxy accepts for it"));
  asked.capture.reset();
  CHECK_THAT(asked.warnings(), Catch::Contains("does not know it yet"));
  asked.connected = false;
  CHECK_THAT(asked.warnings(), Catch::Contains("no proxy is connected"));
  asked.pod().node = "n2";
  CHECK_THAT(asked.warnings(), !Catch::Contains("does not know it yet"));
  CHECK(asked.answer()["here"] == false);
}

TEST_CASE("a policy that looks into requests on an opaque port is pointed out, by what it does there") {
  Asked asked;
  asked.world.objects.services.at({"shop", "web"}).ports = {
      {.name = "db", .app_protocol = "mysql", .port = 3306, .target_port = 8080}};
  auto& policy = asked.world.policy("shop", "p");
  policy.rules[0].to = {Match{.methods = {"GET"}}};
  CHECK_THAT(
      asked.warnings(),
      Catch::Contains("port 8080 is opaque by Service shop/web: there its rules about requests never match"));
  policy.action = Action::deny;
  CHECK_THAT(asked.warnings(), Catch::Contains("count as met, and deny"));
  policy.attachment.selector = Labels{{"app", "other"}};
  CHECK_THAT(asked.warnings(), !Catch::Contains("opaque"));
}

TEST_CASE("ports that nobody has, in a policy or a mode, are pointed out") {
  Asked asked;
  auto& policy = asked.world.policy("shop", "p");
  policy.rules[0].to = {Match{.ports = {80}}};
  asked.world.mode("shop", "m", std::nullopt).ports = {{9999, Mode::strict}};
  CHECK_THAT(asked.warnings(), Catch::Contains("AuthorizationPolicy shop/p, rule 0: port 80 is none"));
  CHECK_THAT(asked.warnings(), Catch::Contains("port 9999: PeerAuthentication shop/m"));
  policy.rules[0].to = {Match{.ports = {8080}}};
  CHECK_THAT(asked.warnings(), !Catch::Contains("port 80 is none"));
}

TEST_CASE("what the proxy refused, what is invalid and what was noted is told where it concerns the pod") {
  Asked asked;
  asked.world.policy("shop", "p").invalid = "principals[0]: odd";
  asked.world.policy("other", "q");
  asked.world.rules("r", "{backendRefs: [{name: gone, port: 80}]}");
  asked.quarantine[{pb::POLICY, "shop/p"}] = {"", Sync::StandIn::invalid, "why p"};
  asked.quarantine[{pb::POLICY, "other/q"}] = {"", Sync::StandIn::invalid, "why q"};
  asked.quarantine[{pb::WORKLOAD, "shop/web"}] = {"", Sync::StandIn::last_good, "why w"};
  asked.quarantine[{pb::ROUTES, "shop/web:80"}] = {"", Sync::StandIn::last_good, "why r"};
  asked.quarantine[{pb::SERVICE, "shop/webs"}] = {"", Sync::StandIn::last_good, "why s"};
  const std::string said = asked.warnings();
  for (const char* part : {"shop/p is invalid: principals[0]: odd: it matches nothing", "why p", "why w",
                           "why r", "HTTPRoute shop/r: "}) {
    CHECK_THAT(said, Catch::Contains(part));
  }
  CHECK_THAT(said, !Catch::Contains("why q"));
  CHECK_THAT(said, !Catch::Contains("why s"));
}

TEST_CASE("of a pod outside the mesh it is said which policies nobody enforces") {
  Asked asked;
  asked.world.policy("shop", "p");
  asked.pod().meta.labels["weir.dev/mesh"] = "disabled";
  asked.world.announced.clear();
  const Json answer = asked.answer();
  CHECK(answer["enrolled"] == false);
  CHECK(answer["mode"].is_null());
  CHECK_THAT(asked.warnings(), Catch::Contains("nobody judges by the 1 AuthorizationPolicy"));
}

// Which policies bind which pods, on which ports, and what of them travels.
#include <google/protobuf/text_format.h>

#include "tests/unit/derive/world.h"

using namespace weir::agent;

namespace {
constexpr const char* kPod = "shop/web";
}

TEST_CASE("a policy binds its namespace, its selector's pods, or from weir-system everybody") {
  World world;
  world.pod("web", "10.0.0.1").meta.labels = {{"app", "web"}};
  world.policy("other", "p");
  CHECK(world.bindings(kPod).empty());
  world.policy("shop", "ns");
  world.policy("shop", "sel").attachment.selector = Labels{{"app", "web"}};
  world.policy("shop", "not").attachment.selector = Labels{{"app", "db"}};
  world.policy("weir-system", "mesh");
  world.policy("weir-system", "mesh-sel").attachment.selector = Labels{{"app", "web"}};
  world.policy("weir-system", "mesh-not").attachment.selector = Labels{{"app", "db"}};
  CHECK(world.bindings(kPod) == "shop/ns shop/sel weir-system/mesh weir-system/mesh-sel");
}

TEST_CASE("a policy on a Service binds the pods it selects, on its target ports") {
  World world;
  auto& pod = world.pod("web", "10.0.0.1");
  pod.meta.labels = {{"app", "web"}};
  pod.ports = {{"named", 7000}};
  world.pod("db", "10.0.0.2").meta.labels = {{"app", "db"}};
  auto& service = world.service("web", {{"app", "web"}});
  service.ports.push_back({.name = "n", .target_name = "named", .port = 70});
  service.ports.push_back({.name = "gone", .target_name = "unknown", .port = 71});
  service.ports.push_back({.name = "same", .target_name = "", .port = 90});
  world.policy("shop", "p").attachment.targets = {{"Service", "web", ""}};
  CHECK(world.bindings(kPod) == "shop/p:90,7000,8080");
  CHECK(world.bindings("shop/db").empty());
  world.policy("shop", "p").attachment.targets = {{"Service", "web", "n"}};
  CHECK(world.bindings(kPod) == "shop/p:7000");
  world.policy("shop", "p").attachment.targets = {{"Service", "web", "nope"}};
  CHECK(world.bindings(kPod).empty());
}

TEST_CASE("behind a Service without selector are the pods of its slices") {
  World world;
  world.pod("web", "10.0.0.1");
  world.service("ext", {});
  EndpointSlice slice{.meta = {.name = "ext-1", .ns = "shop"}, .service = "ext"};
  slice.ports = {{"http", "", 9999}};
  slice.endpoints = {{.address = "10.0.0.1"}};
  world.objects.add(slice);
  world.policy("shop", "p").attachment.targets = {{"Service", "ext", ""}};
  CHECK(world.bindings(kPod) == "shop/p:9999");
}

TEST_CASE("a target that is not there binds nobody and is noted") {
  World world;
  world.pod("web", "10.0.0.1");
  world.policy("shop", "p").attachment.targets = {{"Service", "web", ""}};
  CHECK(world.bindings(kPod).empty());
  const auto notes = world.derived().notes;
  REQUIRE(notes.size() == 1);
  CHECK(notes[0].object == "AuthorizationPolicy shop/p");
  CHECK_THAT(notes[0].text, Catch::Contains("there is no Service web"));
}

TEST_CASE("an invalid policy travels as such, bound as ever") {
  World world;
  world.pod("web", "10.0.0.1");
  auto& policy = world.policy("shop", "p");
  policy.invalid = "bad";
  policy.action = Action::deny;
  const auto found = world.resource(pb::POLICY, "shop/p");
  REQUIRE(found);
  CHECK(found->policy().invalid());
  CHECK(found->policy().action() == pb::Policy::DENY);
  CHECK(world.bindings(kPod) == "shop/p");
}

TEST_CASE("every part of a rule arrives") {
  World world;
  auto& policy = world.policy("shop", "p");
  policy.action = Action::audit;
  Match from{.principals = {"a"},
             .not_principals = {"b"},
             .namespaces = {"c"},
             .not_namespaces = {"d"},
             .ip_blocks = {"10.0.0.0/8"},
             .not_ip_blocks = {"10.1.0.0/16"},
             .ports = {},
             .not_ports = {}};
  Match to{.ports = {80},
           .not_ports = {81},
           .hosts = {"e"},
           .not_hosts = {"f"},
           .methods = {"g"},
           .not_methods = {"h"},
           .paths = {"i"},
           .not_paths = {"j"},
           .grpc = {"k"},
           .not_grpc = {"l"}};
  Match when{.headers = {{"m", {"n"}, {"o"}}}};
  policy.rules = {Rule{.name = "mine", .from = {from}, .to = {to}, .when = {when}}};
  const auto found = world.resource(pb::POLICY, "shop/p");
  REQUIRE(found);
  pb::Policy expected;
  REQUIRE(google::protobuf::TextFormat::ParseFromString(R"(
    name: "shop/p"
    action: AUDIT
    rules {
      name: "mine"
      from {
        principals: "a" not_principals: "b" namespaces: "c" not_namespaces: "d"
        ip_blocks: "10.0.0.0/8" not_ip_blocks: "10.1.0.0/16"
      }
      to {
        ports: 80 not_ports: 81 l7: true hosts: "e" not_hosts: "f" methods: "g" not_methods: "h"
        paths: "i" not_paths: "j" grpc: "k" not_grpc: "l"
      }
      when { l7: true headers { name: "m" values: "n" not_values: "o" } }
    })",
                                                        &expected));
  CHECK(found->policy().DebugString() == expected.DebugString());
}

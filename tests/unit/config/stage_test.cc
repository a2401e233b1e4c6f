// What the builder refuses, as a table: the object that is named, and a word of why. Each row is one broken object in an
// update that is good otherwise.
#include "nodeproxy/config/stage.h"

#include <google/protobuf/unknown_field_set.h>

#include <catch2/catch.hpp>

#include "tests/unit/config/updates.h"

using namespace weir;
using namespace weir::config;
using namespace weir::config::test;

namespace {

struct Row {
  const char* resource;  // textproto of one Resource
  ResourceKind kind;
  const char* name;
  const char* word;
};

const std::string kGood = workload("good", "10.0.0.77");

void check(const Row& row, const char* before) {
  CAPTURE(row.resource);
  const auto staged = stage(update(1, before + std::string(row.resource)));
  REQUIRE_FALSE(staged.has_value());
  CHECK(staged.error().kind == row.kind);
  CHECK(staged.error().name == row.name);
  CAPTURE(staged.error().text);
  CHECK(staged.error().text.find(row.word) != std::string::npos);
}

}  // namespace

TEST_CASE("broken workloads are refused by name") {
  constexpr auto kind = ResourceKind::workload;
  for (
      const Row& row : {
          Row{R"(changed { workload { uid: "w" addresses: "abc" } })", kind, "w", "addresses[0]"},
          Row{R"(changed { workload { uid: "w" addresses: "\000\000\000\000" } })", kind, "w", "0.0.0.0"},
          Row{R"(changed { workload { uid: "w" addresses: "\177\000\000\001" } })", kind, "w", "127.0.0.1"},
          Row{R"(changed { workload { uid: "w" addresses: "\340\000\000\001" } })", kind, "w", "224.0.0.1"},
          Row{R"(changed { workload { uid: "w" identity: "spiffe://TD/ns/a/sa/b" } })", kind, "w",
              "identity"},
          Row{R"(changed { workload { uid: "w" identity: "cluster.local/ns/a/sa/b" } })", kind, "w",
              "identity"},
          Row{R"(changed { workload { uid: "w" identity: "spiffe://td/ns/a/sa/b/" } })", kind, "w",
              "identity"},
          Row{R"(changed { workload { uid: "w" mesh_peer: true } })", kind, "w", "mesh_peer"},
          Row{R"(changed { workload { uid: "w" mesh_peer: true host_network: true identity: "spiffe://td/a" } })",
              kind, "w", "mesh_peer"},
          Row{R"(changed { workload { uid: "w" mode: 9 } })", kind, "w", "mode"},
          Row{R"(changed { workload { uid: "w" port_modes { key: 0 value: STRICT } } })", kind, "w",
              "port_modes"},
          Row{R"(changed { workload { uid: "w" port_modes { key: 65536 value: STRICT } } })", kind, "w",
              "65536"},
          Row{R"(changed { workload { uid: "w" port_modes { key: 80 value: 7 } } })", kind, "w", "mode"},
          Row{R"(changed { workload { uid: "w" policies { policy: "p" ports: 70000 } } })", kind, "w",
              "70000"},
          Row{R"(changed { workload { } })", kind, "", "empty"},
          Row{R"(changed { workload { uid: "w" } } changed { workload { uid: "w" } })", kind, "w", "twice"},
          Row{R"(changed { workload { uid: "w" } } removed { kind: WORKLOAD name: "w" })", kind, "w",
              "twice"},
      })
    check(row, kGood.c_str());
}

TEST_CASE("broken services, endpoints, trust and settings are refused by name") {
  using enum ResourceKind;
  for (
      const Row& row : {
          Row{R"(changed { service { name: "s" addresses: "12345" } })", service, "s", "addresses"},
          Row{R"(changed { service { name: "s" ports { port: 0 } } })", service, "s", "ports[0]"},
          Row{R"(changed { service { name: "s" ports { port: 80 } ports { port: 80 } } })", service, "s",
              "twice"},
          Row{R"(changed { service { name: "s" balancer: 12 } })", service, "s", "balancer"},
          Row{R"(changed { service { name: "s" locality: 12 } })", service, "s", "locality"},
          Row{R"(changed { endpoints { name: "e" } })", endpoints, "e", "service"},
          Row{R"(changed { endpoints { name: "e" service: "s" ports { port: 70000 } } })", endpoints, "e",
              "70000"},
          Row{R"(changed { endpoints { name: "e" service: "s" endpoints { address: "" } } })", endpoints, "e",
              "endpoints[0].address"},
          Row{R"(changed { endpoints { name: "e" service: "s" endpoints { address: "\012\000\000\001" weight: 1000001 } } })",
              endpoints, "e", "weight"},
          Row{R"(changed { trust { domain: "td" } })", trust, "td", "roots"},
          Row{R"(changed { trust { domain: "td" roots: "" } })", trust, "td", "roots"},
          Row{R"(changed { trust { domain: "T D" roots: "r" } })", trust, "T D", "domain"},
          Row{R"(changed { mesh { trust_domain: "" } })", mesh, "", "trust_domain"},
          Row{R"(changed { mesh { trust_domain: "td" cluster_ranges: "10.0.0.0/33" } })", mesh, "",
              "10.0.0.0/33"},
          Row{R"(changed { mesh { trust_domain: "td" unknown_destinations: 3 } })", mesh, "",
              "unknown_destinations"},
          Row{R"(changed { mesh { trust_domain: "td" same_node: 3 } })", mesh, "", "same_node"},
          Row{R"(changed { mesh { trust_domain: "td" sessions_per_lane: 4000000000 } })", mesh, "",
              "sessions_per_lane"},
          Row{R"(changed { mesh { trust_domain: "td" } } changed { mesh { trust_domain: "td" } })", mesh, "",
              "twice"},
          Row{R"(removed { kind: MESH })", mesh, "", "removed"},
          Row{R"(removed { kind: 99 name: "x" })", unspecified, "x", "kind"},
          Row{R"(changed { })", unspecified, "", "kind"},
      })
    check(row, kGood.c_str());
}

TEST_CASE("broken policies are refused by name, with the place of the fault") {
  constexpr auto kind = ResourceKind::policy;
  for (const Row& row : {
           Row{R"(changed { policy { name: "p" action: 5 } })", kind, "p", "action"},
           Row{R"(changed { policy { name: "p" rules { } rules { from { } from { principals: "" } } } })",
               kind, "p", "rules[1].from[1].principals"},
           Row{R"(changed { policy { name: "p" rules { from { principals: "*/sa/web" } } } })", kind, "p",
               "*/sa/web"},
           Row{R"(changed { policy { name: "p" rules { from { not_principals: "a*b" } } } })", kind, "p",
               "not_principals"},
           Row{R"(changed { policy { name: "p" rules { from { principals: "spiffe://" } } } })", kind, "p",
               "principals"},
           Row{R"(changed { policy { name: "p" rules { from { namespaces: "**" } } } })", kind, "p",
               "namespaces"},
           Row{R"(changed { policy { name: "p" rules { from { not_namespaces: "" } } } })", kind, "p",
               "not_namespaces"},
           Row{R"(changed { policy { name: "p" rules { from { ip_blocks: "10.0.0/8" } } } })", kind, "p",
               "ip_blocks"},
           Row{R"(changed { policy { name: "p" rules { when { not_ip_blocks: "x" } } } })", kind, "p",
               "rules[0].when[0].not_ip_blocks"},
           Row{R"(changed { policy { name: "p" rules { to { ports: 0 } } } })", kind, "p", "to[0].ports"},
           Row{R"(changed { policy { name: "p" rules { to { not_ports: 65536 } } } })", kind, "p",
               "not_ports"},
       })
    check(row, kGood.c_str());
}

TEST_CASE(
    "a policy with a field that this proxy does not know, at any depth, is refused; elsewhere it is "
    "skipped") {
  const auto with_unknown = [](auto&& message) {
    message->GetReflection()->MutableUnknownFields(message)->AddVarint(999, 1);
  };
  const std::string text = policy("p", "rules { from { principals: \"a/b\" } to { } when { ports: 80 } }");
  REQUIRE(stage(update(1, text)).has_value());
  for (int place = 0; place < 5; ++place) {
    auto broken = update(1, text);
    auto* policy = broken.mutable_changed(0)->mutable_policy();
    auto* rule = policy->mutable_rules(0);
    if (place == 0) with_unknown(policy);
    if (place == 1) with_unknown(rule);
    if (place == 2) with_unknown(rule->mutable_from(0));
    if (place == 3) with_unknown(rule->mutable_to(0));
    if (place == 4) with_unknown(rule->mutable_when(0));
    // As it comes over the wire.
    v1::Update received;
    REQUIRE(received.ParseFromString(broken.SerializeAsString()));
    const auto staged = stage(received);
    CAPTURE(place);
    REQUIRE_FALSE(staged.has_value());
    CHECK(staged.error().kind == ResourceKind::policy);
    CHECK(staged.error().name == "p");
  }
  auto harmless = update(1, workload("w", "10.0.0.1"));
  with_unknown(harmless.mutable_changed(0)->mutable_workload());
  CHECK(stage(harmless).has_value());
}

TEST_CASE("what is well formed is read in full") {
  const auto staged = stage(update(3, R"(
    changed { policy { name: "p" action: DENY invalid: true rules { name: "r" from {
      principals: "spiffe://td/ns/a/sa/b" principals: "td/*" not_namespaces: "x*" ip_blocks: "10.0.0.0/8" not_ports: 22 }
      to { l7: true } } } }
    changed { endpoints { name: "e" service: "s" ports { name: "http" port: 8080 app_protocol: "http" }
      endpoints { address: "\012\000\000\001" workload: "u" serving: true terminating: true weight: 7
        node: "n" hint_zones: "z" }
      endpoints { address: "\012\000\000\001" ready: true weight: 9 } } }
    changed { service { name: "s" balancer: ROUND_ROBIN locality: PREFER_SAME_NODE internal_traffic_local: true
      session_affinity_seconds: 9 publish_not_ready: true ports { port: 80 name: "http" app_protocol: "tls" } } }
    changed { mesh { trust_domain: "td" unknown_destinations: ALLOW same_node: ENCRYPTED sessions_per_lane: 1 } })"));
  REQUIRE(staged.has_value());
  const Policy& policy = *staged->policies.at("p");
  CHECK(policy.invalid);
  CHECK(policy.action == Action::deny);
  CHECK(policy.rules[0].from[0].principals == std::vector<std::string>{"td/ns/a/sa/b", "td/*"});
  CHECK(policy.rules[0].from[0].not_ports == std::vector<uint16_t>{22});
  CHECK(policy.rules[0].to[0].l7);
  const EndpointSlice& slice = *staged->slices.at("e");
  REQUIRE(slice.endpoints.size() == 1);  // the repeated address counts once
  CHECK(slice.endpoints[0].weight == 7);
  CHECK(slice.endpoints[0].terminating);
  CHECK(slice.endpoints[0].workload_uid == "u");
  CHECK(slice.endpoints[0].id == endpoint_id("s", ip("10.0.0.1")));
  CHECK(slice.endpoints[0].id != endpoint_id("t", ip("10.0.0.1")));
  const Service& service = *staged->services.at("s");
  CHECK(service.balancer == Balancer::round_robin);
  CHECK(service.locality == LocalityPreference::same_node);
  CHECK(service.session_affinity_seconds == 9);
  CHECK(service.ports[0].app_protocol == "tls");
  CHECK(staged->mesh->allow_unknown_destinations);
  CHECK(staged->mesh->same_node == SameNode::encrypted);
}

#pragma once
// Objects for the tables of derive's tests, and the derived resources parsed back. Every World is a value that a test
// changes at will. Thread: the test's.
#include <catch2/catch.hpp>
#include <optional>
#include <set>
#include <string>

#include "agent/derive/derive.h"
#include "nodeproxy/config/mesh.pb.h"

// Objects are written with the members that matter in a test, by name.
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

namespace weir::agent {

namespace pb = weir::mesh::v1;

struct World {
  Objects objects;
  std::string node = "n1";
  std::set<std::string> announced;
  TrustBundle trust{1, {"root"}};

  World() { objects.add(Namespace{.meta = {.name = "shop", .labels = {{"weir.dev/mesh", "enabled"}}}}); }

  Pod& pod(const std::string& name, const std::string& address, const std::string& ns = "shop") {
    Pod pod{.meta = {.name = name, .ns = ns}, .node = "n1", .service_account = name, .addresses = {address}};
    objects.add(pod);
    return objects.pods.at({ns, name});
  }
  Service& service(const std::string& name, Labels selector, const std::string& ns = "shop") {
    Service service{.meta = {.name = name, .ns = ns}, .selector = std::move(selector)};
    service.ports.push_back({.name = "http", .target_name = "", .port = 80, .target_port = 8080});
    objects.add(service);
    return objects.services.at({ns, name});
  }
  PeerAuthentication& mode(const std::string& ns, const std::string& name, std::optional<Mode> mode) {
    objects.add(PeerAuthentication{.meta = {.name = name, .ns = ns}, .mode = mode});
    return objects.peer_authentications.at({ns, name});
  }
  AuthorizationPolicy& policy(const std::string& ns, const std::string& name) {
    objects.add(AuthorizationPolicy{.meta = {.name = name, .ns = ns}, .rules = {Rule{.name = "rule 0"}}});
    return objects.authorization_policies.at({ns, name});
  }

  Derived derived() const { return derive({objects, node, "cluster.local", announced, trust}); }
  std::optional<pb::Resource> resource(int kind, const std::string& name) const {
    const auto resources = derived().resources;
    const auto found = resources.find({kind, name});
    if (found == resources.end()) return std::nullopt;
    pb::Resource parsed;
    REQUIRE(parsed.ParseFromString(found->second));
    return parsed;
  }
  pb::Workload workload(const std::string& uid) const {
    const auto found = resource(pb::WORKLOAD, uid);
    INFO(uid);
    REQUIRE(found);
    return found->workload();
  }
  // "a/p:80,81 b/q": the policies of a workload with their ports.
  std::string bindings(const std::string& uid) const {
    std::string out;
    const auto bound = workload(uid);
    for (const auto& binding : bound.policies()) {
      out += (out.empty() ? "" : " ") + binding.policy();
      for (int i = 0; i < binding.ports_size(); ++i) {
        out += (i == 0 ? ":" : ",") + std::to_string(binding.ports(i));
      }
    }
    return out;
  }
};

}  // namespace weir::agent

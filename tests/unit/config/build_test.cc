// Updates to snapshots: deltas, full states, refusals that leave no trace, addresses that move between workloads.
#include "nodeproxy/config/build.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <ctime>
#include <map>
#include <random>

#include "tests/unit/config/updates.h"

using namespace weir;
using namespace weir::config;
using namespace weir::config::test;

namespace {

std::shared_ptr<const Snapshot> must_apply(Builder& builder, const v1::Update& update) {
  auto snapshot = builder.apply(update);
  if (!snapshot) FAIL(describe(snapshot.error()));
  return *snapshot;
}

Refusal must_refuse(Builder& builder, const v1::Update& update) {
  const auto before = builder.current();
  auto snapshot = builder.apply(update);
  REQUIRE_FALSE(snapshot.has_value());
  CHECK(builder.current() == before);
  return snapshot.error();
}

}  // namespace

TEST_CASE("a workload is found by uid and by each of its addresses, with everything that was said of it") {
  Builder builder;
  const auto snapshot = must_apply(builder, first_update(R"(
    changed { workload { uid: "u1" name: "web-1" namespace: "shop" identity: "spiffe://cluster.local/ns/shop/sa/web"
      owner_kind: "Deployment" owner_name: "web" addresses: "\012\000\000\001"
      addresses: "\375\000\000\000\000\000\000\000\000\000\000\000\000\000\000\001"
      node: "n1" locality { region: "r" zone: "z" } mesh_peer: true mode: STRICT
      port_modes { key: 8080 value: DISABLED } service_account: "web" } })"));
  const Workload* workload = snapshot->workload("u1");
  REQUIRE(workload != nullptr);
  CHECK(snapshot->workload_at(ip("10.0.0.1")) == workload);
  CHECK(snapshot->workload_at(ip("fd00::1")) == workload);
  CHECK(workload->name == "web-1");
  CHECK(workload->ns == "shop");
  CHECK(workload->owner_name == "web");
  CHECK(workload->locality.zone == "z");
  CHECK(workload->mesh_peer);
  CHECK(workload->local);
  CHECK(workload->mode_of(80) == TlsMode::strict);
  CHECK(workload->mode_of(8080) == TlsMode::disabled);
  CHECK(snapshot->workload_at(ip("10.0.0.2")) == nullptr);
}

TEST_CASE("a delta changes what it names, and older snapshots stay as they were") {
  Builder builder;
  const auto first =
      must_apply(builder, first_update(workload("u1", "10.0.0.1") + workload("u2", "10.0.0.2")));
  const auto second = must_apply(builder, update(2, workload("u1", "10.0.0.9") + removed("WORKLOAD", "u2")));
  CHECK(first->workload_at(ip("10.0.0.1")) != nullptr);
  CHECK(first->workload_at(ip("10.0.0.9")) == nullptr);
  CHECK(first->workload("u2") != nullptr);
  CHECK(second->version == 2);
  CHECK(second->workload_at(ip("10.0.0.1")) == nullptr);
  CHECK(second->workload_at(ip("10.0.0.9")) == second->workload("u1"));
  CHECK(second->workload("u2") == nullptr);
  CHECK(second->workload_at(ip("10.0.0.2")) == nullptr);
  must_apply(builder, update(3, removed("WORKLOAD", "never was")));
}

TEST_CASE("a full state is all there is, whatever its version") {
  Builder builder;
  must_apply(builder, first_update(workload("u1", "10.0.0.1") + service("shop/web", "10.96.0.1") +
                                       slice("shop/web-1", "shop/web", "10.0.0.1") + policy("shop/p") +
                                       trust("cluster.local"),
                                   50));
  const auto next = must_apply(builder, first_update(workload("u2", "10.0.0.2"), 7));
  CHECK(next->version == 7);
  CHECK(next->workload("u1") == nullptr);
  CHECK(next->workload_at(ip("10.0.0.1")) == nullptr);
  CHECK(next->service_at(ip("10.96.0.1")) == nullptr);
  CHECK(next->services_by_name.find("shop/web") == nullptr);
  CHECK(next->trust() == nullptr);
  CHECK(next->workload("u2") != nullptr);
  // The slice went too: a service of that name that comes back has no endpoints.
  const auto back = must_apply(builder, update(8, service("shop/web", "10.96.0.1")));
  CHECK(back->service_at(ip("10.96.0.1"))->slices.empty());
  CHECK(must_refuse(builder, update(9, bound_workload("u3", "shop/p"))).name == "u3");
}

TEST_CASE("a service has its slices, whichever came first, and a slice can move or go") {
  Builder builder;
  must_apply(builder, first_update(slice("shop/web-1", "shop/web", "10.0.0.1")));
  auto snapshot = must_apply(
      builder, update(2, service("shop/web", "10.96.0.1") + slice("shop/web-2", "shop/web", "10.0.0.2")));
  const Service* web = snapshot->service_at(ip("10.96.0.1"));
  REQUIRE(web != nullptr);
  CHECK(web == snapshot->services_by_name.find("shop/web"));
  REQUIRE(web->slices.size() == 2);
  const uint64_t id = web->slices[0]->endpoints[0].id;
  snapshot = must_apply(
      builder, update(3, slice("shop/web-1", "shop/other", "10.0.0.1") + service("shop/other", "10.96.0.2")));
  CHECK(snapshot->service_at(ip("10.96.0.1"))->slices.size() == 1);
  REQUIRE(snapshot->service_at(ip("10.96.0.2"))->slices.size() == 1);
  CHECK(snapshot->service_at(ip("10.96.0.2"))->slices[0]->endpoints[0].id != id);
  snapshot = must_apply(
      builder, update(4, removed("ENDPOINTS", "shop/web-2") + slice("shop/web-3", "shop/web", "10.0.0.1")));
  REQUIRE(snapshot->service_at(ip("10.96.0.1"))->slices.size() == 1);
  // The same service and address: the same id, in whatever slice.
  CHECK(snapshot->service_at(ip("10.96.0.1"))->slices[0]->endpoints[0].id == id);
  snapshot = must_apply(builder, update(5, removed("SERVICE", "shop/web")));
  CHECK(snapshot->service_at(ip("10.96.0.1")) == nullptr);
  snapshot = must_apply(builder, update(6, service("shop/web", "10.96.0.7")));
  CHECK(snapshot->service_at(ip("10.96.0.7"))->slices.size() == 1);
}

TEST_CASE(
    "a changed service is a new object with a revision of its own, and one that is not touched keeps its "
    "own") {
  Builder builder;
  const auto first =
      must_apply(builder, first_update(service("shop/web", "10.96.0.1") + service("shop/db", "10.96.0.2") +
                                       slice("shop/web-1", "shop/web", "10.0.0.1")));
  const auto second = must_apply(builder, update(2, slice("shop/web-1", "shop/web", "10.0.0.2")));
  const auto at = [](const auto& snapshot, const char* name) {
    return snapshot->services_by_name.find(name);
  };
  CHECK(at(first, "shop/web")->revision != 0);
  CHECK(at(first, "shop/web")->revision != at(first, "shop/db")->revision);
  CHECK(at(second, "shop/web")->revision > at(first, "shop/web")->revision);
  CHECK(at(second, "shop/web")->revision > at(first, "shop/db")->revision);
  CHECK(at(second, "shop/db") == at(first, "shop/db"));
}

TEST_CASE("an address shared by services answers with the one that has the port") {
  Builder builder;
  const auto snapshot = must_apply(
      builder, first_update(service("shop/b", "192.0.2.1", 443) + service("shop/a", "192.0.2.1", 80)));
  CHECK(snapshot->service_at(ip("192.0.2.1"), 80)->name == "shop/a");
  CHECK(snapshot->service_at(ip("192.0.2.1"), 443)->name == "shop/b");
  REQUIRE(snapshot->service_at(ip("192.0.2.1"), 22) != nullptr);
  CHECK(snapshot->service_at(ip("192.0.2.1"), 22)->port(22) == nullptr);
  const auto after = must_apply(builder, update(2, removed("SERVICE", "shop/a")));
  CHECK(after->service_at(ip("192.0.2.1"), 80)->name == "shop/b");
}

TEST_CASE("an address of two workloads is the last one's to get it, and goes back when that one ends") {
  Builder builder;
  must_apply(builder, first_update(workload("old", "10.0.0.1")));
  auto snapshot = must_apply(builder, update(2, workload("new", "10.0.0.1")));
  CHECK(snapshot->workload_at(ip("10.0.0.1"))->uid == "new");
  // News of the old one that do not change its address do not give it the address back.
  snapshot = must_apply(builder, update(3, workload("old", "10.0.0.1", "mode: STRICT")));
  CHECK(snapshot->workload_at(ip("10.0.0.1"))->uid == "new");
  CHECK(snapshot->workload("old")->mode == TlsMode::strict);
  snapshot = must_apply(builder, update(4, removed("WORKLOAD", "old")));
  CHECK(snapshot->workload_at(ip("10.0.0.1"))->uid == "new");
  snapshot = must_apply(builder, update(5, workload("third", "10.0.0.1")));
  snapshot = must_apply(builder, update(6, removed("WORKLOAD", "third")));
  CHECK(snapshot->workload_at(ip("10.0.0.1"))->uid == "new");
  // One update that removes one and adds another is the ordinary case.
  snapshot = must_apply(builder, update(7, workload("fourth", "10.0.0.1") + removed("WORKLOAD", "new")));
  CHECK(snapshot->workload_at(ip("10.0.0.1"))->uid == "fourth");
}

TEST_CASE("addresses of host-network workloads are the node's, and never lead to a workload") {
  Builder builder;
  const std::string node = workload("node/n1", "192.168.0.1", "host_network: true");
  auto snapshot =
      must_apply(builder, first_update(node + workload("daemon", "192.168.0.1", "host_network: true")));
  CHECK(snapshot->workload_at(ip("192.168.0.1")) == nullptr);
  CHECK(snapshot->node_addresses.find(ip("192.168.0.1")) != nullptr);
  CHECK(snapshot->workload("daemon")->host_network);
  snapshot = must_apply(builder, update(2, removed("WORKLOAD", "daemon")));
  CHECK(snapshot->node_addresses.find(ip("192.168.0.1")) != nullptr);
  snapshot = must_apply(builder, update(3, removed("WORKLOAD", "node/n1")));
  CHECK(snapshot->node_addresses.find(ip("192.168.0.1")) == nullptr);
  // From the node's network to its own.
  must_apply(builder, update(4, workload("pod", "192.168.0.2", "host_network: true")));
  snapshot = must_apply(builder, update(5, workload("pod", "192.168.0.2")));
  CHECK(snapshot->node_addresses.find(ip("192.168.0.2")) == nullptr);
  CHECK(snapshot->workload_at(ip("192.168.0.2")) != nullptr);
}

TEST_CASE(
    "a changed policy reaches all workloads it binds, by uid and by address, and no other is made anew") {
  Builder builder;
  const auto first = must_apply(
      builder, first_update(policy("shop/p") + policy("shop/q") + bound_workload("u1", "shop/p", "10.0.0.1") +
                            bound_workload("u2", "shop/q", "10.0.0.2")));
  REQUIRE(first->workload("u1")->policies.size() == 1);
  CHECK(first->workload("u1")->policies[0].policy->action == Action::allow);
  const auto second = must_apply(builder, update(2, policy("shop/p", "action: DENY")));
  CHECK(second->workload("u1")->policies[0].policy->action == Action::deny);
  CHECK(second->workload_at(ip("10.0.0.1")) == second->workload("u1"));
  CHECK(second->workload("u2") == first->workload("u2"));
  CHECK(first->workload("u1")->policies[0].policy->action == Action::allow);
  const auto third = must_apply(builder, update(3, removed("POLICY", "shop/p") + workload("u1", "10.0.0.1")));
  CHECK(third->workload("u1")->policies.empty());
}

TEST_CASE(
    "a policy that is not there, or goes while it binds, refuses the whole update and names the object") {
  Builder builder;
  must_apply(builder, first_update(policy("shop/p") + bound_workload("u1", "shop/p", "10.0.0.1")));
  auto refusal = must_refuse(
      builder, update(2, workload("good", "10.0.0.5") + bound_workload("u2", "shop/none", "10.0.0.2")));
  CHECK(refusal.kind == ResourceKind::workload);
  CHECK(refusal.name == "u2");
  CHECK(refusal.text.find("shop/none") != std::string::npos);
  CHECK(builder.current()->workload("good") == nullptr);
  refusal = must_refuse(builder, update(2, removed("POLICY", "shop/p")));
  CHECK(refusal.kind == ResourceKind::policy);
  CHECK(refusal.name == "shop/p");
  refusal = must_refuse(builder,
                        update(2, removed("POLICY", "shop/p") + bound_workload("u1", "shop/p", "10.0.0.1")));
  CHECK(refusal.name == "u1");
  // In one update with what needs it, in any order, it is there.
  must_apply(builder, update(2, bound_workload("u3", "shop/new", "10.0.0.3") + policy("shop/new")));
}

TEST_CASE("versions of deltas rise, and the first update brings the mesh's settings") {
  Builder builder;
  CHECK(must_refuse(builder, update(1, workload("u1", "10.0.0.1"))).kind == ResourceKind::mesh);
  must_apply(builder, first_update("", 5));
  CHECK(must_refuse(builder, update(5, workload("u1", "10.0.0.1"))).text.find("rise") != std::string::npos);
  CHECK(must_refuse(builder, update(4, workload("u1", "10.0.0.1"))).text.find("rise") != std::string::npos);
  must_apply(builder, update(6, workload("u1", "10.0.0.1")));
  CHECK(must_refuse(builder, update(7, removed("MESH", ""))).kind == ResourceKind::mesh);
}

TEST_CASE("when the node's own name comes later, its workloads become local") {
  Builder builder;
  auto snapshot = must_apply(builder, update(1, R"(changed { mesh { trust_domain: "cluster.local" } })" +
                                                    workload("u1", "10.0.0.1")));
  CHECK_FALSE(snapshot->workload("u1")->local);
  snapshot =
      must_apply(builder, update(2, R"(changed { mesh { trust_domain: "cluster.local" node: "n1" } })"));
  CHECK(snapshot->workload("u1")->local);
  CHECK(snapshot->workload_at(ip("10.0.0.1"))->local);
  snapshot =
      must_apply(builder, update(3, R"(changed { mesh { trust_domain: "cluster.local" node: "n2" } })" +
                                        workload("u2", "10.0.0.2")));
  CHECK_FALSE(snapshot->workload("u1")->local);
  CHECK_FALSE(snapshot->workload_at(ip("10.0.0.1"))->local);
}

TEST_CASE("random updates give the same snapshot as one full state of what is left") {
  const unsigned seed = std::random_device()();
  CAPTURE(seed);
  std::mt19937 random(seed);
  Builder builder;
  must_apply(builder, first_update(policy("p0") + policy("p1")));
  std::map<std::string, std::string> workloads, services, slices;
  for (uint64_t version = 2; version < 300; ++version) {
    std::string text;
    const std::string n = std::to_string(random() % 6), a = std::to_string(1 + random() % 250);
    // Addresses of their own, so that the answer does not depend on who came last.
    const std::string uid = "u" + n, address = "10.0." + n + "." + a;
    const auto put = [&](std::map<std::string, std::string>& all, const std::string& name, const char* kind,
                         std::string resource) {
      if (random() % 3 == 0) {
        all.erase(name);
        text += removed(kind, name);
      } else {
        text += all[name] = std::move(resource);
      }
    };
    put(workloads, uid, "WORKLOAD",
        random() % 2 != 0 ? bound_workload(uid, "p" + std::to_string(random() % 2), address)
                          : workload(uid, address));
    if (random() % 2 != 0) put(services, "s" + n, "SERVICE", service("s" + n, "10.96.0." + a));
    if (random() % 2 != 0)
      put(slices, "e" + n, "ENDPOINTS", slice("e" + n, "s" + std::to_string(random() % 6), address));
    const auto stepwise = must_apply(builder, update(version, text));
    if (version % 10 != 0) continue;
    std::string whole = policy("p0") + policy("p1");
    for (const auto* all : {&workloads, &services, &slices})
      for (const auto& [name, resource] : *all) whole += resource;
    Builder fresh;
    REQUIRE(dump(*stepwise) == dump(*must_apply(fresh, first_update(whole, version))));
    REQUIRE(dump(*must_apply(builder, first_update(whole, version))) == dump(*stepwise));
  }
}

TEST_CASE("addresses of one network spread over all shards") {
  std::map<size_t, int> shards;
  for (int i = 0; i < 20'000; ++i)
    ++shards[ShardedMap<Ip, bool>::index(
        ip("10.0." + std::to_string(i / 250) + "." + std::to_string(i % 250)))];
  CHECK(shards.size() == 1024);
  for (const auto& [index, count] : shards) CHECK(count < 60);  // 20 each on average
}

TEST_CASE("one changed endpoint among 100,000 of 10,000 services costs under a millisecond", "[.benchmark]") {
  Builder builder;
  v1::Update all = first_update("");
  for (int s = 0; s < 10'000; ++s) {
    const std::string name = "ns/s" + std::to_string(s);
    const std::string high(1, static_cast<char>(s / 256)), low(1, static_cast<char>(s % 256));
    auto* service = all.add_changed()->mutable_service();
    service->set_name(name);
    service->add_addresses("\x0a\x60" + high + low);
    service->add_ports()->set_port(80);
    auto* slice = all.add_changed()->mutable_endpoints();
    slice->set_name(name);
    slice->set_service(name);
    slice->add_ports()->set_port(8080);
    for (int e = 0; e < 10; ++e) {
      const std::string address =
          std::string(1, static_cast<char>(11 + e)) + std::string(1, '\0') + high + low;
      auto* endpoint = slice->add_endpoints();
      endpoint->set_address(address);
      endpoint->set_ready(true);
      endpoint->set_weight(100);
      auto* workload = all.add_changed()->mutable_workload();
      workload->set_uid(name + "-" + std::to_string(e));
      workload->add_addresses(address);
      endpoint->set_workload(workload->uid());
    }
  }
  // Time of this thread's CPU: what else the machine does is not the builder's cost.
  const auto cpu_us = [] {
    timespec now{};
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) * 1e6 + static_cast<double>(now.tv_nsec) / 1e3;
  };
  const double start_us = cpu_us();
  must_apply(builder, all);
  const double loaded_us = cpu_us() - start_us;
  std::vector<double> costs_us;
  for (uint64_t version = 2; version < 202; ++version) {
    v1::Update one;
    one.set_version(version);
    for (const v1::Resource& resource : all.changed()) {
      if (!resource.has_endpoints() || resource.endpoints().name() != "ns/s" + std::to_string(version * 37))
        continue;
      *one.add_changed() = resource;
      one.mutable_changed(0)->mutable_endpoints()->mutable_endpoints(3)->set_ready(false);
      break;
    }
    const double begin_us = cpu_us();
    must_apply(builder, one);  // and the freeing of the snapshot before
    costs_us.push_back(cpu_us() - begin_us);
  }
  std::sort(costs_us.begin(), costs_us.end());
  WARN("all: " << loaded_us / 1000 << " ms; one endpoint: median " << costs_us[costs_us.size() / 2]
               << " us, most " << costs_us.back() << " us");
  CHECK(costs_us[costs_us.size() / 2] < 1000);
}

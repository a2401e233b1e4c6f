// Route tables and traffic settings through the builder: what hangs on which service, in which order, after which
// updates, and what a change costs.
#include <algorithm>
#include <catch2/catch.hpp>
#include <ctime>
#include <map>
#include <random>

#include "nodeproxy/config/build.h"
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

std::string names(const Service* service) {
  std::string text;
  if (service == nullptr) return "no service";
  for (const auto& table : service->routes) text += (text.empty() ? "" : " ") + table->name;
  return text;
}

}  // namespace

TEST_CASE("a table hangs on its service, by name and by address, whichever came first") {
  Builder builder;
  must_apply(builder, first_update(routes("early", "shop/web")));
  auto snapshot =
      must_apply(builder, update(2, service("shop/web", "10.96.0.1") + service("shop/b", "10.96.0.2")));
  CHECK(names(snapshot->services_by_name.find("shop/web")) == "early");
  CHECK(names(snapshot->service_at(ip("10.96.0.1"))) == "early");
  CHECK(names(snapshot->service_at(ip("10.96.0.2"))).empty());
  snapshot = must_apply(builder, update(3, routes("late", "shop/web")));
  CHECK(names(snapshot->service_at(ip("10.96.0.1"))) == "early late");
}

TEST_CASE("a table survives its service's removal and return, and its slices stay beside it") {
  Builder builder;
  const std::string web = service("shop/web", "10.96.0.1");
  must_apply(builder, first_update(web + routes("t", "shop/web") + slice("s", "shop/web", "10.0.0.1")));
  must_apply(builder, update(2, removed("SERVICE", "shop/web")));
  const auto back = must_apply(builder, update(3, web));
  CHECK(names(back->service_at(ip("10.96.0.1"))) == "t");
  CHECK(back->service_at(ip("10.96.0.1"))->slices.size() == 1);
}

TEST_CASE("a table can change, move to another service, and go") {
  Builder builder;
  const auto first = must_apply(
      builder, first_update(service("a", "10.96.0.1") + service("b", "10.96.0.2") + routes("t", "a")));
  const auto changed = must_apply(builder, update(2, routes("t", "a", "consumer_namespace: \"ns\"")));
  CHECK(changed->services_by_name.find("a")->routes[0]->consumer_namespace == "ns");
  CHECK(first->services_by_name.find("a")->routes[0]->consumer_namespace.empty());
  const auto moved = must_apply(builder, update(3, routes("t", "b")));
  CHECK(names(moved->services_by_name.find("a")).empty());
  CHECK(names(moved->services_by_name.find("b")) == "t");
  const auto gone = must_apply(builder, update(4, removed("ROUTES", "t") + removed("ROUTES", "never was")));
  CHECK(names(gone->services_by_name.find("b")).empty());
  CHECK(names(moved->services_by_name.find("b")) == "t");
}

TEST_CASE("a full state without a table takes it away") {
  Builder builder;
  must_apply(builder, first_update(service("a", "10.96.0.1") + routes("t", "a")));
  must_apply(builder, first_update(service("a", "10.96.0.1")));
  const auto later = must_apply(builder, update(9, service("a", "10.96.0.7")));
  CHECK(names(later->services_by_name.find("a")).empty());
}

TEST_CASE("consumers' tables stand before everybody's, each by name, and a client's own namespace decides") {
  Builder builder;
  const auto snapshot = must_apply(
      builder, first_update(service("a", "10.96.0.1") + routes("2-all", "a") + routes("1-all", "a") +
                            routes("9-x", "a", "consumer_namespace: \"x\"") +
                            routes("8-y", "a", "consumer_namespace: \"y\" ports: 81") +
                            routes("7-y", "a", "consumer_namespace: \"y\" ports: 80")));
  const Service* service = snapshot->services_by_name.find("a");
  REQUIRE(names(service) == "7-y 8-y 9-x 1-all 2-all");
  CHECK(service->routes_for(80, "x")->name == "9-x");
  CHECK(service->routes_for(80, "y")->name == "7-y");
  CHECK(service->routes_for(81, "y")->name == "8-y");
  CHECK(service->routes_for(82, "y")->name == "1-all");
  CHECK(service->routes_for(80, "z")->name == "1-all");
}

TEST_CASE("a refused table refuses the update, and the tables before it stay") {
  Builder builder;
  must_apply(builder, first_update(service("a", "10.96.0.1") + routes("t", "a")));
  const auto refused =
      builder.apply(update(2, removed("ROUTES", "t") + routes("u", "a", "matches { rule: 7 }")));
  REQUIRE_FALSE(refused.has_value());
  CHECK(refused.error().kind == ResourceKind::routes);
  CHECK(describe(refused.error()).starts_with("routes 'u': matches[1].rule: 7"));
  CHECK(names(builder.current()->services_by_name.find("a")) == "t");
}

TEST_CASE("a changed table makes its own service anew and no other, nor its slices") {
  Builder builder;
  const auto first =
      must_apply(builder, first_update(service("a", "10.96.0.1") + service("b", "10.96.0.2") +
                                       routes("t", "a") + routes("u", "a") + slice("s", "a", "10.0.0.1")));
  const auto second = must_apply(builder, update(2, routes("t", "a", "ports: 80")));
  CHECK(second->services_by_name.find("b") == first->services_by_name.find("b"));
  CHECK(second->services_by_name.find("a") != first->services_by_name.find("a"));
  CHECK(second->services_by_name.find("a")->slices[0] == first->services_by_name.find("a")->slices[0]);
  CHECK(second->services_by_name.find("a")->routes[1] == first->services_by_name.find("a")->routes[1]);
}

TEST_CASE(
    "random updates of services, slices and tables give the same snapshot as one full state of what is "
    "left") {
  const unsigned seed = std::random_device()();
  CAPTURE(seed);
  std::mt19937 random(seed);
  Builder builder;
  must_apply(builder, first_update(""));
  std::map<std::string, std::string> services, slices, tables;
  for (uint64_t version = 2; version < 300; ++version) {
    std::string text;
    const std::string n = std::to_string(random() % 4), m = std::to_string(random() % 4);
    const auto put = [&](std::map<std::string, std::string>& all, const std::string& name, const char* kind,
                         std::string resource) {
      if (random() % 3 == 0) {
        all.erase(name);
        text += removed(kind, name);
      } else {
        text += all[name] = std::move(resource);
      }
    };
    if (random() % 2 != 0) put(services, "s" + n, "SERVICE", service("s" + n, "10.96.0." + n));
    if (random() % 2 != 0) put(slices, "e" + n, "ENDPOINTS", slice("e" + n, "s" + m, "10.0.0." + m));
    put(tables, "t" + n, "ROUTES",
        routes("t" + n, "s" + m, random() % 2 != 0 ? "consumer_namespace: \"c\"" : ""));
    const auto stepwise = must_apply(builder, update(version, text));
    if (version % 10 != 0) continue;
    std::string whole;
    for (const auto* all : {&services, &slices, &tables})
      for (const auto& [name, resource] : *all) whole += resource;
    Builder fresh;
    REQUIRE(dump(*stepwise) == dump(*must_apply(fresh, first_update(whole, version))));
  }
}

TEST_CASE("one changed table among those of 10,000 services costs under a millisecond", "[.benchmark]") {
  Builder builder;
  v1::Update all = first_update("");
  for (int s = 0; s < 10'000; ++s) {
    const std::string name = "ns/s" + std::to_string(s);
    auto* service = all.add_changed()->mutable_service();
    service->set_name(name);
    service->add_addresses("\x0a\x60" + std::string(1, static_cast<char>(s / 256)) +
                           std::string(1, static_cast<char>(s % 256)));
    service->add_ports()->set_port(80);
    v1::Update table = update(1, routes(name, name));
    all.add_changed()->Swap(table.mutable_changed(0));
  }
  must_apply(builder, all);
  const auto cpu_us = [] {
    timespec now{};
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) * 1e6 + static_cast<double>(now.tv_nsec) / 1e3;
  };
  std::vector<double> costs_us;
  for (uint64_t version = 2; version < 202; ++version) {
    const std::string name = "ns/s" + std::to_string(version * 37);
    const v1::Update one = update(version, routes(name, name, "ports: 80"));
    const double begin_us = cpu_us();
    must_apply(builder, one);
    costs_us.push_back(cpu_us() - begin_us);
  }
  std::sort(costs_us.begin(), costs_us.end());
  WARN("one table: median " << costs_us[costs_us.size() / 2] << " us, most " << costs_us.back() << " us");
  CHECK(costs_us[costs_us.size() / 2] < 1000);
}

#pragma once
// Short ways to write services and to ask the balancer, for the tests of this directory.
//
// Concept: a Spec is an endpoint in one line; reachable() is what can be chosen at all, tally() how often.
// Owner, thread, lifetime: each test's own.
#include <catch2/catch.hpp>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "nodeproxy/balance/pick.h"

namespace weir::balance::test {

using config::Balancer;
using config::Endpoint;
using config::EndpointSlice;
using config::LocalityPreference;
using config::Service;

inline Ip ip(std::string_view text) { return *Ip::parse(text); }

struct Spec {
  const char* address;
  const char* node = "n1";
  const char* zone = "z1";
  bool ready = true, serving = true, terminating = false;
  uint32_t weight = 100;
  std::vector<std::string> hints = {};
};

inline Endpoint endpoint(const Spec& spec) {
  Endpoint endpoint;
  endpoint.address = ip(spec.address);
  endpoint.id = std::hash<Ip>()(endpoint.address);
  endpoint.ready = spec.ready;
  endpoint.serving = spec.serving;
  endpoint.terminating = spec.terminating;
  endpoint.weight = spec.weight;
  endpoint.node = spec.node;
  endpoint.locality.zone = spec.zone;
  endpoint.hint_zones = spec.hints;
  return endpoint;
}

inline std::shared_ptr<const EndpointSlice> slice(const std::vector<Spec>& specs, uint16_t target = 8080,
                                                  const char* port_name = "http") {
  auto slice = std::make_shared<EndpointSlice>();
  slice->name = "shop/web-1";
  slice->ports = {{"metrics", 9090, ""}, {port_name, target, ""}};
  for (const Spec& spec : specs) slice->endpoints.push_back(endpoint(spec));
  return slice;
}

inline Service service(const std::vector<Spec>& specs, Balancer balancer = Balancer::least_connections) {
  Service service;
  service.name = "shop/web";
  service.ports = {{80, "http", ""}, {9090, "metrics", ""}, {81, "nowhere", ""}};
  service.balancer = balancer;
  service.slices = {slice(specs)};
  return service;
}

// As a snapshot would hold it: with a revision of its own, so that lists are kept. It may not be changed any more.
inline Service published(Service service) {
  static uint64_t revisions = 0;
  service.revision = ++revisions;
  return service;
}

// 10.<i / 62,500>.<…>.<…>: as many endpoints as asked for, each of this weight.
inline Service service_of(size_t endpoints, Balancer balancer = Balancer::least_connections,
                          uint32_t weight = 100) {
  auto slice = std::make_shared<EndpointSlice>(*test::slice({}));
  for (size_t i = 0; i < endpoints; ++i) {
    const std::string address = "10." + std::to_string(i / 62'500) + "." + std::to_string(i / 250 % 250) +
                                "." + std::to_string(1 + i % 250);
    slice->endpoints.push_back(endpoint({.address = address.c_str(), .weight = weight}));
  }
  Service made = service({}, balancer);
  made.slices = {slice};
  return made;
}

inline Request request(const Service& service) {
  return {.service = service, .port = 80, .v4 = true, .node = "n1", .zone = "z1", .client = ip("10.9.0.1")};
}

// How often each address is chosen.
inline std::map<std::string, int> tally(const Request& request, State& state, int picks) {
  std::map<std::string, int> counts;
  for (int i = 0; i < picks; ++i) {
    const auto choice = pick(request, state);
    REQUIRE(choice.has_value());
    ++counts[choice->endpoint->address.to_string()];
  }
  return counts;
}

// The addresses that can be chosen at all; empty when there is no endpoint.
inline std::string reachable(const Request& request) {
  State state(1);
  if (const auto choice = pick(request, state); !choice) {
    CHECK(choice.error().reason == Reason::no_endpoint);
    return "";
  }
  std::string names;
  for (const auto& [address, count] : tally(request, state, 200))
    names += (names.empty() ? "" : " ") + address;
  return names;
}

}  // namespace weir::balance::test

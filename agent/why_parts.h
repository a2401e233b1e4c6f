#pragma once
// The parts of the answer to "why". Private to why*.cc. Thread: any.
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "agent/derive/explain.h"
#include "agent/why.h"

namespace weir::agent {

// The ports of a pod that somebody speaks of: those it declares, those Services lead to, those with a mode of their own.
struct PortFacts {
  std::string name;  // as the pod calls it
  bool declared = false;
  // How each Service that leads here calls it, and what that says of the protocol: "HTTP", "opaque" or "detected".
  struct Through {
    std::string service;  // "shop/web"
    uint16_t port = 0;
    std::string protocol;
  };
  std::vector<Through> through;
};
std::map<uint16_t, PortFacts> ports_of(const WhyFacts& facts, const Explanation& explanation);

// why_policies.cc
nlohmann::ordered_json policies_json(const Explanation& explanation);
// why_routes.cc. The tables of a service that everybody, or one namespace's clients, meet; of one namespace, all.
nlohmann::ordered_json routes_of_service(const Resources& resources, const std::string& service);
nlohmann::ordered_json routes_of_consumer(const Resources& resources, const std::string& ns);
bool has_routes(const Resources& resources, const std::string& service, uint16_t port);
// Names of the routes ("shop/web") in tables made by the two above.
void add_route_names(const nlohmann::ordered_json& tables, std::set<std::string>& names);
// why_warnings.cc
std::vector<std::string> warnings(const WhyFacts& facts, const Explanation& explanation,
                                  const std::map<uint16_t, PortFacts>& ports,
                                  const std::set<std::string>& routes);

}  // namespace weir::agent

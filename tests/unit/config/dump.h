#pragma once
// What a snapshot says, as text in one order: to compare two of them.
// Thread: any. Lifetime: pure.
#include <map>
#include <string>

#include "nodeproxy/config/snapshot.h"

namespace weir::config::test {

inline std::string dump(const Workload& workload) {
  std::string text = workload.uid + (workload.local ? " local" : "") + " " + workload.identity + " " +
                     std::to_string(static_cast<int>(workload.mode));
  for (const auto& [port, mode] : workload.port_modes)
    text += " " + std::to_string(port) + "=" + std::to_string(static_cast<int>(mode));
  for (const Ip& address : workload.addresses) text += " " + address.to_string();
  for (const PolicyBinding& binding : workload.policies) {
    text += " " + binding.policy->name + "/" + std::to_string(static_cast<int>(binding.policy->action)) +
            "/" + std::to_string(binding.policy->rules.size());
    for (const uint16_t port : binding.ports) text += ":" + std::to_string(port);
  }
  return text;
}

inline std::string dump(const Service& service) {
  std::string text = service.name + " " + std::to_string(static_cast<int>(service.balancer));
  for (const ServicePort& port : service.ports) text += " :" + std::to_string(port.port);
  for (const auto& slice : service.slices) {
    text += " " + slice->name;
    for (const Endpoint& endpoint : slice->endpoints)
      text += " " + endpoint.address.to_string() + "#" + std::to_string(endpoint.id);
  }
  for (const auto& table : service.routes) {
    text += " " + table->name + "@" + table->consumer_namespace + "/" + std::to_string(table->rules.size());
  }
  return text;
}

inline std::string dump(const Snapshot& snapshot) {
  std::map<std::string, std::string> lines;
  for (const auto& [domain, trust] : snapshot.trusts) {
    lines["trust " + domain] = std::to_string(trust->version) + "/" + std::to_string(trust->roots.size());
  }
  snapshot.workloads_by_uid.for_each(
      [&](const auto& uid, const Workload& workload) { lines["uid " + uid] = dump(workload); });
  snapshot.workloads_by_address.for_each(
      [&](const Ip& at, const Workload& workload) { lines["pod " + at.to_string()] = dump(workload); });
  snapshot.services_by_name.for_each(
      [&](const auto& name, const Service& service) { lines["service " + name] = dump(service); });
  snapshot.services_by_address.for_each([&](const Ip& at, const ServicesAtAddress& all) {
    for (const auto& each : all) lines["at " + at.to_string()] += dump(*each) + ";";
  });
  snapshot.node_addresses.for_each([&](const Ip& at, bool) { lines["node " + at.to_string()] = ""; });
  std::string text =
      std::to_string(snapshot.version) + " " + snapshot.mesh.trust_domain + " " + snapshot.mesh.node + "\n";
  for (const auto& [key, value] : lines) text += key + ": " + value + "\n";
  return text;
}

}  // namespace weir::config::test

// Slices from selectors: one for each service, family and set of resolved ports. See endpoints.h.
#include "agent/files/endpoints.h"

#include <fmt/format.h>

#include <set>
#include <utility>

namespace weir::agent {
namespace {

// The service's ports as this pod has them; a port whose target it does not name is left out.
std::vector<SlicePort> ports_at(const Service& service, const Pod& pod) {
  std::vector<SlicePort> out;
  for (const auto& port : service.ports) {
    uint16_t target = port.target_port != 0 ? port.target_port : port.port;
    if (!port.target_name.empty()) {
      target = 0;
      for (const auto& container : pod.ports) {
        if (container.name == port.target_name) target = container.port;
      }
    }
    if (target != 0) out.push_back({port.name, port.app_protocol, target});
  }
  return out;
}

std::string key_of(const std::vector<SlicePort>& ports) {
  std::string key;
  for (const auto& port : ports) key += fmt::format("{}={} ", port.name, port.port);
  return key;
}

SliceEndpoint endpoint_of(const Pod& pod, const std::string& address) {
  SliceEndpoint endpoint;
  endpoint.address = address;
  endpoint.serving = pod.ready;
  endpoint.terminating = pod.meta.deleting;
  endpoint.ready = pod.ready && !pod.meta.deleting;
  endpoint.node = pod.node;
  endpoint.target = pod.meta.key();
  return endpoint;
}

void add_slices(Objects& objects, const Service& service) {
  std::map<std::pair<bool, std::string>, EndpointSlice> slices;  // by (IPv6, ports)
  for (const auto& [name, pod] : objects.pods) {
    if (name.ns != service.meta.ns || pod.ended() || !selects(service.selector, pod.meta.labels)) continue;
    const auto ports = ports_at(service, pod);
    std::set<bool> families;
    for (const auto& address : pod.addresses) {
      const bool v6 = address.find(':') != std::string::npos;
      if (!families.insert(v6).second) continue;  // one address of each family, as the controller
      EndpointSlice& slice = slices[{v6, key_of(ports)}];
      slice.ports = ports;
      slice.endpoints.push_back(endpoint_of(pod, address));
    }
  }
  int number = 0;
  for (auto& [key, slice] : slices) {
    slice.meta.ns = service.meta.ns;
    // No name that Kubernetes allows has a colon: it meets no slice of a file.
    slice.meta.name = fmt::format("{}:{}", service.meta.name, number++);
    slice.service = service.meta.name;
    objects.add(std::move(slice));
  }
}

}  // namespace

void add_missing_slices(Objects& objects) {
  std::set<ObjectName> have;
  for (const auto& [name, slice] : objects.slices) have.insert({name.ns, slice.service});
  for (const auto& [name, service] : objects.services) {
    if (!service.selector.empty() && !service.external_name && !have.contains(name))
      add_slices(objects, service);
  }
}

}  // namespace weir::agent

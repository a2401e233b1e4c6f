// How a policy is attached to pods: mesh-wide from weir-system, to its namespace, to pods by label, or to the pods
// behind a Service on the ports that Service leads to, however they are dialled (api.md). See context.h.
#include <algorithm>

#include "agent/derive/context.h"

namespace weir::agent {
namespace {

void add_port(std::vector<uint16_t>& ports, uint16_t port) {
  if (port != 0 && std::ranges::find(ports, port) == ports.end()) ports.push_back(port);
}

// targetPort, resolved in this pod; 0 when it names a port the pod does not have.
uint16_t resolve(const ServicePort& port, const Pod& pod) {
  if (port.target_name.empty()) return port.target_port != 0 ? port.target_port : port.port;
  for (const auto& container : pod.ports) {
    if (container.name == port.target_name) return container.port;
  }
  return 0;
}

}  // namespace

// By the service's selector, or by slices that somebody wrote for it.
std::vector<PortBehind> ports_behind(const Context& context, const Service& service, const Pod& pod) {
  std::vector<PortBehind> ports;
  if (!service.selector.empty()) {
    if (!selects(service.selector, pod.meta.labels)) return ports;
    for (const auto& port : service.ports) {
      ports.push_back({port.name, port.app_protocol, port.port, resolve(port, pod)});
    }
    return ports;
  }
  const auto slices = context.slices_of.find(service.meta.key());
  if (slices == context.slices_of.end()) return ports;
  for (const EndpointSlice* slice : slices->second) {
    const bool here = std::ranges::any_of(slice->endpoints, [&](const SliceEndpoint& endpoint) {
      return context.workload_of(endpoint) == pod.uid();
    });
    if (!here) continue;
    for (const auto& port : slice->ports) {
      const auto of = std::ranges::find(service.ports, port.name, &ServicePort::name);
      const uint16_t service_port = of == service.ports.end() ? uint16_t{0} : of->port;
      ports.push_back({port.name, port.app_protocol, service_port, port.port});
    }
  }
  return ports;
}

Binding bind(const Context& context, const Meta& policy, const Attachment& attachment, const Pod& pod) {
  const bool mesh_wide = policy.ns == kWeirNamespace;
  if (!mesh_wide && policy.ns != pod.meta.ns) return {};
  if (attachment.selector) return {selects(*attachment.selector, pod.meta.labels), true, {}};
  if (attachment.targets.empty()) return {true, false, {}};
  Binding binding{false, true, {}};
  if (policy.ns != pod.meta.ns) return binding;  // targets are of the policy's namespace
  for (const auto& target : attachment.targets) {
    const auto service = context.objects.services.find({policy.ns, target.name});
    if (service == context.objects.services.end()) continue;
    for (const PortBehind& port : ports_behind(context, service->second, pod)) {
      if (target.section.empty() || port.name == target.section) add_port(binding.ports, port.pod_port);
    }
  }
  std::ranges::sort(binding.ports);
  binding.binds = !binding.ports.empty();
  return binding;
}

void note_targets(Context& context, const std::string& kind, const Meta& policy,
                  const Attachment& attachment) {
  for (const auto& target : attachment.targets) {
    const auto service = context.objects.services.find({policy.ns, target.name});
    const std::string object = kind + " " + policy.key().text();
    if (service == context.objects.services.end()) {
      context.note(object, "targetRefs: there is no Service " + target.name + " in namespace " + policy.ns,
                   "TargetNotFound");
    } else if (!target.section.empty() &&
               std::ranges::none_of(service->second.ports,
                                    [&](const ServicePort& port) { return port.name == target.section; })) {
      context.note(object, "targetRefs: Service " + target.name + " has no port named " + target.section,
                   "TargetNotFound");
    }
  }
}

}  // namespace weir::agent

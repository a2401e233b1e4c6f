// Asking derive()'s own parts about one pod. See explain.h.
#include "agent/derive/explain.h"

#include <algorithm>

#include "agent/derive/context.h"

namespace weir::agent {
namespace {

std::string label_value(const Labels& labels) {
  const auto found = labels.find(kMeshLabel);
  return found == labels.end() ? std::string() : found->second;
}

// In the order of wants_mesh().
std::string reason_of(const Objects& objects, const Pod& pod) {
  if (pod.host_network) return "it is on its node's network (hostNetwork)";
  if (pod.meta.ns == kWeirNamespace) return std::string("pods of ") + kWeirNamespace + " are never enrolled";
  if (pod.ended()) return "it has ended (" + pod.phase + ")";
  const std::string label = std::string("label ") + kMeshLabel + ": ";
  const std::string own = label_value(pod.meta.labels);
  if (own == "enabled" || own == "disabled") return label + own + " of the pod";
  const auto ns = objects.namespaces.find(pod.meta.ns);
  if (ns == objects.namespaces.end()) return "its namespace " + pod.meta.ns + " is not known";
  const std::string of_namespace = label_value(ns->second.meta.labels);
  if (of_namespace == "enabled") return label + "enabled of namespace " + pod.meta.ns;
  if (of_namespace.empty()) {
    return std::string("neither the pod nor its namespace has the label ") + kMeshLabel;
  }
  return label + of_namespace + " of namespace " + pod.meta.ns;
}

int rank_of(Action action) {
  switch (action) {
    case Action::deny: return 0;
    case Action::allow: return 1;
    case Action::audit: break;
  }
  return 2;
}

std::vector<BoundPolicy> bound_policies(const Context& context, const Pod& pod) {
  std::vector<BoundPolicy> out;
  for (const auto& bound : bindings_of(context, pod)) {
    const size_t slash = bound.policy().find('/');
    const auto found = context.objects.authorization_policies.find(
        {bound.policy().substr(0, slash), bound.policy().substr(slash + 1)});
    if (found == context.objects.authorization_policies.end()) continue;
    const AuthorizationPolicy& policy = found->second;
    BoundPolicy& to = out.emplace_back(BoundPolicy{&policy, "namespace", {}});
    if (policy.attachment.selector) {
      to.level = "selector";
    } else if (!policy.attachment.targets.empty()) {
      to.level = "Service";
    } else if (policy.meta.ns == kWeirNamespace) {
      to.level = "mesh";
    }
    for (const auto port : bound.ports()) to.ports.push_back(static_cast<uint16_t>(port));
  }
  std::ranges::stable_sort(out, {}, [](const BoundPolicy& bound) { return rank_of(bound.policy->action); });
  return out;
}

std::vector<ServiceOfPod> services_of(const Context& context, const Pod& pod) {
  std::vector<ServiceOfPod> out;
  for (const auto& [name, service] : context.objects.services) {
    if (service.external_name || name.ns != pod.meta.ns) continue;
    const auto ports = ports_behind(context, service, pod);
    if (ports.empty()) continue;
    ServiceOfPod& to = out.emplace_back(ServiceOfPod{&service, {}, traffic_of(context, name)});
    for (const auto& port : ports) {
      to.ports.push_back({port.name, port.app_protocol, port.service_port, port.pod_port});
    }
  }
  return out;
}

}  // namespace

std::optional<Explanation> explain(const Inputs& inputs, const ObjectName& name) {
  const auto found = inputs.objects.pods.find(name);
  if (found == inputs.objects.pods.end()) return std::nullopt;
  const Pod& pod = found->second;
  const Context context(inputs);
  Explanation out;
  out.pod = &pod;
  out.enrolled = wants_mesh(inputs.objects, pod);
  out.because = reason_of(inputs.objects, pod);
  out.peer = context.is_peer(pod);
  out.services = services_of(context, pod);
  out.policies = bound_policies(context, pod);
  if (!context.in_mesh(pod)) return out;
  out.identity = "spiffe://" + context.trust_domain + "/ns/" + pod.meta.ns + "/sa/" + pod.service_account;
  const ResolvedMode resolved = resolve_mode(context, pod);
  out.mode = {resolved.mode, resolved.by};
  for (const auto& [port, mode] : resolved.ports) out.port_modes[port] = {mode, resolved.ports_by.at(port)};
  return out;
}

}  // namespace weir::agent

// Services, their slices and TrafficPolicies → Service and Endpoints resources. See context.h.
#include <optional>

#include "agent/derive/context.h"

namespace weir::agent {
namespace {

// The TrafficPolicies of a service, oldest first.
std::vector<const TrafficPolicy*> traffic_of(const Context& context, const ObjectName& service) {
  std::vector<const TrafficPolicy*> out;
  const auto list = context.traffic.find(service.ns);
  if (list == context.traffic.end()) return out;
  for (const TrafficPolicy* policy : list->second) {
    for (const auto& target : policy->attachment.targets) {
      if (target.name == service.name) {
        out.push_back(policy);
        break;
      }
    }
  }
  return out;
}

pb::Balancer balancer_of(const std::vector<const TrafficPolicy*>& policies) {
  for (const TrafficPolicy* policy : policies) {
    if (policy->balancer == "LeastConnections") return pb::LEAST_CONNECTIONS;
    if (policy->balancer == "RoundRobin") return pb::ROUND_ROBIN;
    if (policy->balancer == "Random") return pb::RANDOM;
  }
  return pb::BALANCER_UNSPECIFIED;
}

// A TrafficPolicy's word, else the Service's own trafficDistribution.
pb::LocalityPreference locality_of(const std::vector<const TrafficPolicy*>& policies,
                                   const Service& service) {
  for (const TrafficPolicy* policy : policies) {
    if (policy->locality == "None") return pb::LOCALITY_NONE;
    if (policy->locality == "SameZone") return pb::PREFER_SAME_ZONE;
    if (policy->locality == "SameNode") return pb::PREFER_SAME_NODE;
  }
  const std::string& word = service.traffic_distribution;
  if (word == "PreferClose" || word == "PreferSameZone") return pb::PREFER_SAME_ZONE;
  if (word == "PreferSameNode") return pb::PREFER_SAME_NODE;
  return pb::LOCALITY_NONE;
}

constexpr uint32_t kWeightDefault = 100;

// The oldest policy that speaks of weights decides; in it, the first selector that matches the pod.
uint32_t weight_of(const Context& context, const std::vector<const TrafficPolicy*>& policies,
                   const SliceEndpoint& endpoint) {
  for (const TrafficPolicy* policy : policies) {
    if (policy->weights.empty()) continue;
    const auto pod =
        endpoint.target ? context.objects.pods.find(*endpoint.target) : context.objects.pods.end();
    if (pod == context.objects.pods.end()) return kWeightDefault;
    for (const auto& weight : policy->weights) {
      if (selects(weight.labels, pod->second.meta.labels)) return weight.weight;
    }
    return kWeightDefault;
  }
  return kWeightDefault;
}

void derive_slice(Context& context, const EndpointSlice& slice,
                  const std::vector<const TrafficPolicy*>& policies) {
  pb::Resource resource;
  pb::Endpoints& out = *resource.mutable_endpoints();
  out.set_name(slice.meta.key().text());
  out.set_service(ObjectName{slice.meta.ns, slice.service}.text());
  for (const auto& port : slice.ports) {
    pb::EndpointPort& to = *out.add_ports();
    to.set_name(port.name);
    to.set_port(port.port);
    to.set_app_protocol(port.app_protocol);
  }
  for (const auto& endpoint : slice.endpoints) {
    const auto ip = Ip::parse(endpoint.address);
    if (!ip) continue;
    pb::Endpoint& to = *out.add_endpoints();
    to.set_address(ip->to_wire());
    to.set_workload(context.workload_of(endpoint));
    to.set_ready(endpoint.ready);
    to.set_serving(endpoint.serving);
    to.set_terminating(endpoint.terminating);
    to.set_weight(weight_of(context, policies, endpoint));
    to.set_node(endpoint.node);
    *to.mutable_locality() = context.locality_of(endpoint.node);
    if (!endpoint.zone.empty()) to.mutable_locality()->set_zone(endpoint.zone);
    for (const auto& zone : endpoint.hint_zones) to.add_hint_zones(zone);
  }
  context.emit(pb::ENDPOINTS, out.name(), resource);
}

}  // namespace

void derive_services(Context& context) {
  for (const auto& [name, service] : context.objects.services) {
    if (service.external_name) continue;  // an alias in DNS; nobody dials it
    const auto policies = traffic_of(context, name);
    pb::Resource resource;
    pb::Service& out = *resource.mutable_service();
    out.set_name(name.text());
    for (const auto& address : service.addresses) {
      if (const auto ip = Ip::parse(address)) out.add_addresses(ip->to_wire());
    }
    for (const auto& port : service.ports) {
      pb::ServicePort& to = *out.add_ports();
      to.set_port(port.port);
      to.set_name(port.name);
      to.set_app_protocol(port.app_protocol);
    }
    out.set_balancer(balancer_of(policies));
    out.set_locality(locality_of(policies, service));
    out.set_internal_traffic_local(service.internal_local);
    out.set_session_affinity_seconds(service.affinity_seconds);
    out.set_publish_not_ready(service.publish_not_ready);
    context.emit(pb::SERVICE, name.text(), resource);

    const auto slices = context.slices_of.find(name);
    if (slices == context.slices_of.end()) continue;
    for (const EndpointSlice* slice : slices->second) derive_slice(context, *slice, policies);
  }
  for (const auto& [name, policy] : context.objects.traffic_policies) {
    note_targets(context, "TrafficPolicy", policy.meta, policy.attachment);
  }
}

}  // namespace weir::agent

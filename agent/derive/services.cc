// Services and their slices → Service and Endpoints resources; what a TrafficPolicy says of them is traffic.cc's. See
// context.h.
#include "agent/derive/context.h"

namespace weir::agent {
namespace {

constexpr uint32_t kWeightDefault = 100;

// The first selector that matches the pod.
uint32_t weight_of(const Context& context, const TrafficPolicy* policy, const SliceEndpoint& endpoint) {
  if (policy == nullptr || !endpoint.target) return kWeightDefault;
  const auto pod = context.objects.pods.find(*endpoint.target);
  if (pod == context.objects.pods.end()) return kWeightDefault;
  for (const auto& weight : policy->weights) {
    if (selects(weight.labels, pod->second.meta.labels)) return weight.weight;
  }
  return kWeightDefault;
}

void derive_slice(Context& context, const EndpointSlice& slice, const TrafficPolicy* weights) {
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
    to.set_weight(weight_of(context, weights, endpoint));
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
    fill_traffic(context, service, policies, out);
    out.set_internal_traffic_local(service.internal_local);
    out.set_session_affinity_seconds(service.affinity_seconds);
    out.set_publish_not_ready(service.publish_not_ready);
    context.emit(pb::SERVICE, name.text(), resource);

    const auto slices = context.slices_of.find(name);
    if (slices == context.slices_of.end()) continue;
    const TrafficPolicy* weights = weights_of(context, service, policies);
    for (const EndpointSlice* slice : slices->second) derive_slice(context, *slice, weights);
  }
  for (const auto& [name, policy] : context.objects.traffic_policies) {
    note_targets(context, "TrafficPolicy", policy.meta, policy.attachment);
  }
}

}  // namespace weir::agent

// The look-ups that derive()'s parts share, and derive() itself. See context.h.
#include "agent/derive/context.h"

#include <algorithm>
#include <tuple>

namespace weir::agent {
namespace {

template <typename Policy>
ByNamespace<Policy> oldest_first(const std::map<ObjectName, Policy>& policies) {
  ByNamespace<Policy> out;
  for (const auto& [name, policy] : policies) out[name.ns].push_back(&policy);
  for (auto& [ns, list] : out) {
    std::ranges::stable_sort(list, {}, [](const Policy* policy) { return policy->meta.seniority(); });
  }
  return out;
}

// Of two pods with one address the address belongs to the one that is not on its way out, then to the younger: kubelets
// reuse addresses before the old Pod object is gone.
bool holds_rather(const Pod& a, const Pod& b) {
  const auto rank = [](const Pod& pod) {
    return std::tuple(!pod.meta.deleting, pod.meta.created_at.value_or(INT64_MIN), pod.uid());
  };
  return rank(a) > rank(b);
}

std::vector<Ip> parse_all(const std::vector<std::string>& texts) {
  std::vector<Ip> out;
  for (const auto& text : texts) {
    const auto ip = Ip::parse(text);
    if (ip && std::ranges::find(out, *ip) == out.end()) out.push_back(*ip);
  }
  return out;
}

}  // namespace

Context::Context(const Inputs& inputs)
    : in(inputs), objects(inputs.objects), trust_domain(inputs.trust_domain) {
  if (objects.settings && !objects.settings->trust_domain.empty())
    trust_domain = objects.settings->trust_domain;
  out.trust_domain = trust_domain;

  std::unordered_map<Ip, const Pod*> holder;
  for (const auto& [name, node] : objects.nodes) node_addresses[name] = parse_all(node.addresses);
  for (const auto& [name, pod] : objects.pods) {
    const auto& addresses = addresses_of(pod);
    if (pod.ended() || addresses.empty()) continue;
    if (pod.host_network) {
      auto& known = node_addresses[pod.node];
      for (const Ip& ip : parse_all(addresses)) {
        if (std::ranges::find(known, ip) == known.end()) known.push_back(ip);
      }
      continue;
    }
    pods.push_back(&pod);
    for (const Ip& ip : parse_all(addresses)) {
      const Pod*& held = holder[ip];
      if (held == nullptr || holds_rather(pod, *held)) held = &pod;
    }
  }
  for (const Pod* pod : pods) {
    for (const Ip& ip : parse_all(addresses_of(*pod))) {
      if (holder.at(ip) == pod) {
        pod_addresses[pod].push_back(ip);
        workload_at[ip] = pod->uid();
      } else {
        note("Pod " + pod->meta.key().text(),
             "its address " + ip.to_string() + " now belongs to Pod " + holder.at(ip)->meta.key().text());
      }
    }
  }
  for (const auto& [name, addresses] : node_addresses) {
    for (const Ip& ip : addresses) workload_at.try_emplace(ip, "node/" + name);
  }
  for (const auto& [name, slice] : objects.slices) {
    if (!slice.service.empty()) slices_of[{name.ns, slice.service}].push_back(&slice);
  }
  modes = oldest_first(objects.peer_authentications);
  policies = oldest_first(objects.authorization_policies);
  traffic = oldest_first(objects.traffic_policies);
}

const std::vector<std::string>& Context::addresses_of(const Pod& pod) const {
  if (in.stand_in == nullptr || in.stand_in->empty()) return pod.addresses;
  const auto found = in.stand_in->find(pod.uid());
  return found == in.stand_in->end() ? pod.addresses : found->second;
}

pb::Locality Context::locality_of(const std::string& node) const {
  pb::Locality locality;
  const auto found = objects.nodes.find(node);
  if (found == objects.nodes.end()) return locality;
  const Labels& labels = found->second.meta.labels;
  const auto region = labels.find("topology.kubernetes.io/region");
  const auto zone = labels.find("topology.kubernetes.io/zone");
  if (region != labels.end()) locality.set_region(region->second);
  if (zone != labels.end()) locality.set_zone(zone->second);
  return locality;
}

std::string Context::workload_of(const SliceEndpoint& endpoint) const {
  if (endpoint.target) {
    const auto pod = objects.pods.find(*endpoint.target);
    if (pod != objects.pods.end() && !pod->second.ended()) {
      if (pod->second.host_network) return "node/" + pod->second.node;
      if (!addresses_of(pod->second).empty()) return pod->second.uid();
    }
  }
  const auto ip = Ip::parse(endpoint.address);
  const auto found = ip ? workload_at.find(*ip) : workload_at.end();
  return found == workload_at.end() ? "" : found->second;
}

void Context::emit(int kind, std::string name, const pb::Resource& resource) {
  out.resources[{kind, std::move(name)}] = serialize(resource);
}

pb::TlsMode to_proto(Mode mode) {
  switch (mode) {
    case Mode::strict: return pb::STRICT;
    case Mode::disabled: return pb::DISABLED;
    case Mode::permissive: break;
  }
  return pb::PERMISSIVE;
}

bool wants_mesh(const Objects& objects, const Pod& pod) {
  if (pod.host_network || pod.meta.ns == kWeirNamespace || pod.ended()) return false;
  if (objects.settings && objects.settings->enrol_nobody) return false;
  const auto says = [](const Labels& labels) -> std::string_view {
    const auto found = labels.find(kMeshLabel);
    return found == labels.end() ? std::string_view() : std::string_view(found->second);
  };
  const auto own = says(pod.meta.labels);
  if (own == "enabled" || own == "disabled") return own == "enabled";
  const auto ns = objects.namespaces.find(pod.meta.ns);
  return ns != objects.namespaces.end() && says(ns->second.meta.labels) == "enabled";
}

Derived derive(const Inputs& inputs) {
  Context context(inputs);
  derive_mesh(context);
  derive_policies(context);
  derive_workloads(context);
  derive_services(context);
  derive_routes(context);
  return std::move(context.out);
}

}  // namespace weir::agent

// Pods and nodes → Workload resources, and the pods of this node that want to be enrolled. Pods that ended leave; pods
// that are terminating still serve, with their identity, until they are gone. See context.h.
#include <algorithm>
#include <string_view>

#include "agent/derive/context.h"

namespace weir::agent {
namespace {

// Kubernetes' "safe encoded" hashes use only these (k8s.io/apimachinery util/rand).
bool looks_like_hash(std::string_view text) {
  return text.size() >= 5 && text.size() <= 10 &&
         text.find_first_not_of("bcdfghjklmnpqrstvwxz2456789") == std::string_view::npos;
}

// Who owns the pod in a person's eyes: the Deployment behind the ReplicaSet, the CronJob behind the Job.
Owner owner_of(const Pod& pod) {
  if (pod.meta.owners.empty()) return {"Pod", pod.meta.name};
  const Owner& owner = pod.meta.owners.front();
  const size_t dash = owner.name.rfind('-');
  if (dash == std::string::npos || dash == 0) return owner;
  const std::string suffix = owner.name.substr(dash + 1);
  if (owner.kind == "ReplicaSet") {
    const auto label = pod.meta.labels.find("pod-template-hash");
    const bool hash = label != pod.meta.labels.end() ? label->second == suffix : looks_like_hash(suffix);
    if (hash) return {"Deployment", owner.name.substr(0, dash)};
  }
  // CronJobs name their Jobs after the minute since 1970: eight digits.
  if (owner.kind == "Job" && suffix.size() >= 8 &&
      suffix.find_first_not_of("0123456789") == std::string::npos) {
    return {"CronJob", owner.name.substr(0, dash)};
  }
  return owner;
}

void derive_pod(Context& context, const Pod& pod) {
  const auto addresses = context.pod_addresses.find(&pod);
  pb::Resource resource;
  pb::Workload& workload = *resource.mutable_workload();
  workload.set_uid(pod.uid());
  workload.set_name(pod.meta.name);
  workload.set_namespace_(pod.meta.ns);
  workload.set_service_account(pod.service_account);
  const Owner owner = owner_of(pod);
  workload.set_owner_kind(owner.kind);
  workload.set_owner_name(owner.name);
  if (addresses != context.pod_addresses.end()) {
    for (const Ip& ip : addresses->second) workload.add_addresses(ip.to_wire());
  }
  workload.set_node(pod.node);
  *workload.mutable_locality() = context.locality_of(pod.node);
  if (context.objects.settings) workload.set_cluster(context.objects.settings->cluster);

  LocalPodSpec local{pod.uid(),         pod.meta.key(),   {}, {}, {}, Mode::permissive, false,
                     pod.kubelet_uid(), pod.runtime_class};
  if (context.in_mesh(pod)) {
    local.identity = "spiffe://" + context.trust_domain + "/ns/" + pod.meta.ns + "/sa/" + pod.service_account;
    workload.set_identity(local.identity);
    workload.set_mesh_peer(context.is_peer(pod));
    const ResolvedMode resolved = resolve_mode(context, pod);
    workload.set_mode(to_proto(resolved.mode));
    for (const auto& [port, mode] : resolved.ports) (*workload.mutable_port_modes())[port] = to_proto(mode);
    local.mode = resolved.mode;
    for (auto& binding : bindings_of(context, pod)) *workload.add_policies() = std::move(binding);
    local.guarded = resolved.mode == Mode::strict || workload.policies_size() > 0;
  }
  context.emit(pb::WORKLOAD, pod.uid(), resource);

  // A pod whose every address another one took is as good as gone.
  if (pod.node != context.in.node || !wants_mesh(context.objects, pod)) return;
  if (addresses == context.pod_addresses.end()) return;
  for (const Ip& ip : addresses->second) local.addresses.push_back(ip.to_string());
  const auto netns = pod.meta.annotations.find(kNetnsAnnotation);
  if (netns != pod.meta.annotations.end()) local.netns = netns->second;
  context.out.local_pods.push_back(std::move(local));
}

}  // namespace

void derive_workloads(Context& context) {
  for (const Pod* pod : context.pods) derive_pod(context, *pod);
  std::ranges::sort(context.out.local_pods, {}, &LocalPodSpec::uid);
  for (const auto& [name, addresses] : context.node_addresses) {
    if (addresses.empty()) continue;
    pb::Resource resource;
    pb::Workload& workload = *resource.mutable_workload();
    workload.set_uid("node/" + name);
    workload.set_name(name);
    workload.set_owner_kind("Node");
    workload.set_owner_name(name);
    for (const Ip& ip : addresses) workload.add_addresses(ip.to_wire());
    workload.set_node(name);
    *workload.mutable_locality() = context.locality_of(name);
    workload.set_host_network(true);
    workload.set_mode(pb::DISABLED);
    context.emit(pb::WORKLOAD, workload.uid(), resource);
  }
}

}  // namespace weir::agent

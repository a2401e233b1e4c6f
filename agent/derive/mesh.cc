// The settings of the whole mesh and the trust bundle → their resources. See context.h.
#include <algorithm>

#include "agent/derive/context.h"

namespace weir::agent {

void derive_mesh(Context& context) {
  pb::Resource resource;
  pb::Mesh& mesh = *resource.mutable_mesh();
  mesh.set_trust_domain(context.trust_domain);
  mesh.set_node(context.in.node);
  *mesh.mutable_locality() = context.locality_of(context.in.node);
  std::vector<std::string> ranges;
  for (const auto& [name, node] : context.objects.nodes) {
    ranges.insert(ranges.end(), node.pod_cidrs.begin(), node.pod_cidrs.end());
  }
  if (const auto& settings = context.objects.settings) {
    mesh.set_cluster(settings->cluster);
    ranges.insert(ranges.end(), settings->pod_cidrs.begin(), settings->pod_cidrs.end());
    ranges.insert(ranges.end(), settings->service_cidrs.begin(), settings->service_cidrs.end());
    mesh.set_unknown_destinations(settings->allow_unknown_destinations ? pb::Mesh::ALLOW : pb::Mesh::REFUSE);
    mesh.set_same_node(settings->same_node_encrypted ? pb::Mesh::ENCRYPTED : pb::Mesh::DIRECT);
    mesh.set_sessions_per_lane(settings->sessions_per_lane);
  }
  std::ranges::sort(ranges);
  const auto repeated = std::ranges::unique(ranges);
  ranges.erase(repeated.begin(), repeated.end());
  for (const auto& range : ranges) mesh.add_cluster_ranges(range);
  context.emit(pb::MESH, "", resource);

  pb::Resource trust_resource;
  pb::Trust& trust = *trust_resource.mutable_trust();
  trust.set_domain(context.trust_domain);
  trust.set_version(context.in.trust.version);
  for (const auto& root : context.in.trust.roots) trust.add_roots(root);
  context.emit(pb::TRUST, context.trust_domain, trust_resource);
}

}  // namespace weir::agent

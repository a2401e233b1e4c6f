// PeerAuthentication → one mode per workload and its exceptions per port: port over workload over namespace over mesh;
// at one level the oldest that says something. Among workload-level ones, the pod's own namespace comes before
// weir-system. See context.h and api.md.
#include <array>

#include "agent/derive/context.h"

namespace weir::agent {

ResolvedMode resolve_mode(const Context& context, const Pod& pod) {
  ResolvedMode resolved;
  const PeerAuthentication *workload = nullptr, *ns = nullptr, *mesh = nullptr;
  const std::array<std::string, 2> homes{pod.meta.ns, kWeirNamespace};
  for (const auto& home : homes) {
    const auto list = context.modes.find(home);
    if (list == context.modes.end()) continue;
    for (const PeerAuthentication* policy : list->second) {
      const Binding binding = bind(context, policy->meta, policy->attachment, pod);
      if (!binding.binds) continue;
      // By target, its mode is that of the Service's ports; try_emplace: the first that named a port stays.
      const auto say = [&, policy](uint16_t port, Mode mode) {
        resolved.ports.try_emplace(port, mode);
        resolved.ports_by.try_emplace(port, policy);
      };
      for (const auto& [port, mode] : policy->ports) say(port, mode);
      if (!policy->mode) continue;
      if (!binding.ports.empty()) {
        for (const uint16_t port : binding.ports) say(port, *policy->mode);
      } else {
        auto& level = binding.by_selector ? workload : home == kWeirNamespace ? mesh : ns;
        if (level == nullptr) level = policy;
      }
    }
  }
  resolved.by = workload != nullptr ? workload : ns != nullptr ? ns : mesh;
  if (resolved.by != nullptr) resolved.mode = *resolved.by->mode;
  return resolved;
}

}  // namespace weir::agent

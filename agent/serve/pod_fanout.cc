// See pod_fanout.h.
#include "agent/serve/pod_fanout.h"

#include <algorithm>

namespace weir::agent {

bool PodFanout::connected() const {
  return std::ranges::any_of(server_.links(), [](const ProxyLink* link) { return link->synced(); });
}

bool PodFanout::offer(const PodDescriptors& pod) {
  bool told = false;
  for (ProxyLink* link : server_.links()) {
    if (link->synced()) told |= link->send_pod(pod);
  }
  return told;
}

// Also those that have no configuration yet: one may just have given back the listeners of a pod that is gone.
bool PodFanout::gone(const std::string& uid, bool removed) {
  std::set<uint64_t> told;
  for (ProxyLink* link : server_.links()) {
    if (link->send_pod_gone(uid, removed)) told.insert(link->id());
  }
  if (told.empty()) return false;
  releasing_[uid] = std::move(told);
  return true;
}

bool PodFanout::released(const ProxyLink& link, const std::string& uid) {
  const auto waiting = releasing_.find(uid);
  if (waiting == releasing_.end()) return true;  // an earlier agent asked
  waiting->second.erase(link.id());
  if (!waiting->second.empty()) return false;
  releasing_.erase(waiting);
  return true;
}

std::vector<std::string> PodFanout::left(const ProxyLink& link) {
  std::vector<std::string> last;
  for (auto next = releasing_.begin(); next != releasing_.end();) {
    const auto waiting = next++;
    if (waiting->second.erase(link.id()) == 0 || !waiting->second.empty()) continue;
    last.push_back(waiting->first);
    releasing_.erase(waiting);
  }
  return last;
}

}  // namespace weir::agent

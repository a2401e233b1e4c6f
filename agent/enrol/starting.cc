// Until the API says the same. See starting.h.
#include "agent/enrol/starting.h"

#include <algorithm>
#include <set>

#include "nodeproxy/base/ip.h"

namespace weir::agent {
namespace {

std::set<Ip> parsed(const std::vector<std::string>& texts) {
  std::set<Ip> out;
  for (const auto& text : texts) {
    if (const auto ip = Ip::parse(text)) out.insert(*ip);
  }
  return out;
}

// The kubelet reports one address of each family; the plugin may have heard of more.
bool api_agrees(const std::vector<std::string>& api, const std::vector<std::string>& plugin) {
  return !api.empty() && std::ranges::includes(parsed(plugin), parsed(api));
}

}  // namespace

void StartingPods::remember(const std::vector<KnownPod>& captured, const Objects& objects) {
  for (const auto& [name, pod] : objects.pods) {
    if (!pod.addresses.empty() || pod.ended()) continue;
    const auto known = std::ranges::find_if(
        captured, [&](const KnownPod& one) { return one.armed && one.spec.uid == pod.uid(); });
    if (known != captured.end()) add(pod.uid(), known->spec.addresses);
  }
}

std::vector<std::string> StartingPods::settle(const Objects& objects) {
  std::vector<std::string> done;
  if (pods_.empty()) return done;
  std::set<std::string> needed;
  for (const auto& [name, pod] : objects.pods) {
    const auto found = pods_.find(pod.uid());
    if (found == pods_.end() || pod.ended() || api_agrees(pod.addresses, found->second)) continue;
    needed.insert(found->first);
  }
  std::erase_if(pods_, [&](const auto& entry) {
    if (needed.contains(entry.first)) return false;
    done.push_back(entry.first);
    return true;
  });
  return done;
}

const Pod* find_starting(const Objects& objects, const ObjectName& name, const std::string& kubelet_uid) {
  const auto found = objects.pods.find(name);
  if (found == objects.pods.end()) return nullptr;
  const Pod& pod = found->second;
  if (!kubelet_uid.empty() && pod.kubelet_uid() != kubelet_uid && pod.uid() != kubelet_uid) return nullptr;
  return &pod;
}

}  // namespace weir::agent

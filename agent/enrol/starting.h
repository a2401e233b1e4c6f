#pragma once
// Pods that start now: what the CNI plugin says of them before the API does.
//
// Concept: a pod's addresses reach the API some time after its network is made, and by then it runs. So until the API
// says the same, derive() is given the plugin's instead; everything behind (enrolment, the proxy) then deals with a
// starting pod as with any other. After a restart of a pod's sandbox the API's addresses are those of the network before,
// and the plugin's stand in for them, too. Owner: Cni. Thread: the loop's.
#include <map>
#include <string>
#include <vector>

#include "agent/derive/derive.h"
#include "agent/model/objects.h"
#include "agent/redirect/redirect.h"

namespace weir::agent {

class StartingPods {
 public:
  void add(const std::string& uid, std::vector<std::string> addresses) { pods_[uid] = std::move(addresses); }
  // Of an earlier agent, whose capture tells them: pods that have no address in the API yet would else count as none.
  void remember(const std::vector<KnownPod>& captured, const Objects& objects);
  void forget(const std::string& uid) { pods_.erase(uid); }
  bool contains(const std::string& uid) const { return pods_.contains(uid); }

  const StandInAddresses& addresses() const { return pods_; }

  // Forgets those whose addresses the API knows by now, that ended, or that are no objects any more: their uids.
  std::vector<std::string> settle(const Objects& objects);

 private:
  StandInAddresses pods_;
};

// The pod a runtime starts, among the objects: by name, and by uid where the runtime tells it. Null: not seen yet, or
// only a predecessor of the same name.
const Pod* find_starting(const Objects& objects, const ObjectName& name, const std::string& kubelet_uid);

}  // namespace weir::agent

#pragma once
// Why a pod is treated as it is: what derive() decides of it, with who decided it. For people (`weirctl why`): the same
// functions that make the proxy's configuration answer here, so that the two cannot disagree.
// Lifetime: what it points to belongs to the objects of the inputs. Thread: any; no state. Cost: that of looking up what
// derive() looks up, for one pod.
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "agent/derive/derive.h"

namespace weir::agent {

struct SaidMode {
  Mode mode = Mode::permissive;
  const PeerAuthentication* by = nullptr;  // null: nobody said anything
};

struct BoundPolicy {
  const AuthorizationPolicy* policy = nullptr;
  const char* level = "";       // "selector", "Service", "namespace" or "mesh"
  std::vector<uint16_t> ports;  // empty: all
};

struct ServiceOfPod {
  struct Port {
    std::string name, app_protocol;
    uint16_t service_port = 0, pod_port = 0;  // 0: not known, not resolved
  };
  const Service* service = nullptr;
  std::vector<Port> ports;
  std::vector<const TrafficPolicy*> traffic;  // the oldest first
};

struct Explanation {
  const Pod* pod = nullptr;
  bool enrolled = false;  // it wants the mesh
  std::string because;    // "label weir.dev/mesh: enabled of namespace shop"
  bool peer = false;      // its capture is announced: others speak mTLS to it
  std::string identity;   // empty: none
  SaidMode mode;
  std::map<uint16_t, SaidMode> port_modes;
  // Deny, then Allow, then Audit: as they decide. Of a pod that is not in the mesh: those that would bind it.
  std::vector<BoundPolicy> policies;
  std::vector<ServiceOfPod> services;
};

// Nothing: there is no such pod.
std::optional<Explanation> explain(const Inputs& inputs, const ObjectName& pod);

}  // namespace weir::agent

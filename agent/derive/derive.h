#pragma once
// Kubernetes' words → the proxy's: a pure function of the objects, this node's name, what is announced and the trust
// bundle. Same inputs, same bytes. What it means is api.md and architecture.md "What a dialled address means"; each rule
// has its file here and a table of tests.
// Thread: any; no state. Cost: proportional to the objects; the proxy sees only the difference (resources.h).
#include <map>
#include <set>
#include <string>
#include <vector>

#include "agent/derive/resources.h"
#include "agent/model/objects.h"

namespace weir::agent {

struct TrustBundle {
  uint64_t version = 0;            // rises with every change
  std::vector<std::string> roots;  // DER
};

// Addresses of pods that the API does not know yet, by uid: they stand in for the object's.
using StandInAddresses = std::map<std::string, std::vector<std::string>>;

struct Inputs {
  const Objects& objects;
  std::string node;                        // this agent's
  std::string trust_domain;                // unless the settings name another
  const std::set<std::string>& announced;  // uids of pods whose capture is announced, on any node
  const TrustBundle& trust;
  const StandInAddresses* stand_in = nullptr;
};

// A pod of this node that wants to be enrolled.
struct LocalPodSpec {
  std::string uid;
  ObjectName name;
  std::string identity;                // spiffe://…
  std::vector<std::string> addresses;  // textual
  std::string netns;                   // annotation weir.dev/netns; empty: found by the pod's cgroup
  Mode mode = Mode::permissive;
  // Strict, or some policy selects it: connections older than its capture may not go on (capture.md "Older than the
  // rule").
  bool guarded = false;
  std::string cgroup_uid = {};     // what the kubelet calls the pod
  std::string runtime_class = {};  // spec.runtimeClassName

  bool operator==(const LocalPodSpec&) const = default;
};

// Something accepted that does not resolve; for status.
struct Note {
  std::string object, text;
  // What the Gateway API calls it, for conditions: NoMatchingParent, BackendNotFound, UnsupportedValue, TargetNotFound …;
  // empty: it has no word for it.
  std::string reason = {};
  bool operator==(const Note&) const = default;
};

// Whether a route took effect at a Service that it names as parent.
struct ParentVerdict {
  std::string object;        // "HTTPRoute shop/web"
  size_t parent = 0;         // its index in spec.parentRefs
  std::string reason, text;  // empty: it did
};

struct Derived {
  Resources resources;
  std::vector<LocalPodSpec> local_pods;  // by uid
  std::vector<Note> notes;
  std::vector<ParentVerdict> parents;
  std::string trust_domain;
};

Derived derive(const Inputs& inputs);

// Label weir.dev/mesh of the pod, else of its namespace; never for hostNetwork pods and Weir's own.
bool wants_mesh(const Objects& objects, const Pod& pod);

}  // namespace weir::agent

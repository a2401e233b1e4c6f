#pragma once
// What the parts of derive() share while it runs: look-ups over the objects, made once, and where results go.
// Private to derive/. Lifetime: one call of derive(). Thread: that call's.
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "agent/derive/derive.h"
#include "nodeproxy/base/ip.h"
#include "nodeproxy/config/mesh.pb.h"

namespace weir::agent {

namespace pb = weir::mesh::v1;

// A policy of a namespace bound to a pod: where it came from decides precedence.
template <typename Policy>
using ByNamespace = std::map<std::string, std::vector<const Policy*>>;

struct Context {
  explicit Context(const Inputs& inputs);

  const Inputs& in;
  const Objects& objects;
  std::string trust_domain;
  Derived out;

  std::vector<const Pod*> pods;                           // live ones, with an address, not hostNetwork
  std::map<const Pod*, std::vector<Ip>> pod_addresses;    // without those another pod holds now
  std::unordered_map<Ip, std::string> workload_at;        // → uid, nodes included
  std::map<std::string, std::vector<Ip>> node_addresses;  // → of its pseudo workload
  std::map<ObjectName, std::vector<const EndpointSlice*>> slices_of;  // by Service

  // Oldest first (conflicts: the oldest wins; without a time last; then by name).
  ByNamespace<PeerAuthentication> modes;
  ByNamespace<AuthorizationPolicy> policies;
  ByNamespace<TrafficPolicy> traffic;

  // The pod's own, or what stands in for them.
  const std::vector<std::string>& addresses_of(const Pod& pod) const;
  pb::Locality locality_of(const std::string& node) const;
  // The workload a slice's endpoint is: by its targetRef, else by its address; empty: none that is known.
  std::string workload_of(const SliceEndpoint& endpoint) const;
  bool is_peer(const Pod& pod) const { return in.announced.contains(pod.uid()); }
  bool in_mesh(const Pod& pod) const { return wants_mesh(objects, pod) || is_peer(pod); }
  void emit(int kind, std::string name, const pb::Resource& resource);
  void note(std::string object, std::string text, std::string reason = {}) {
    out.notes.push_back({std::move(object), std::move(text), std::move(reason)});
  }
};

// attachment.cc: how a policy binds a pod.
struct Binding {
  bool binds = false;
  bool by_selector = false;     // or by target: workload level; neither: the whole namespace
  std::vector<uint16_t> ports;  // by target: the pod's ports that the Service leads to; else empty
};
// A port of a service as a pod behind it has it.
struct PortBehind {
  std::string name, app_protocol;
  uint16_t service_port = 0;  // 0: of a slice that the service knows nothing of
  uint16_t pod_port = 0;      // 0: it is named, and the pod has no port of that name
};
// Of a pod that is not behind it: none.
std::vector<PortBehind> ports_behind(const Context& context, const Service& service, const Pod& pod);
Binding bind(const Context& context, const Meta& policy, const Attachment& attachment, const Pod& pod);
// Notes targets that do not exist.
void note_targets(Context& context, const std::string& kind, const Meta& policy,
                  const Attachment& attachment);

// modes.cc
struct ResolvedMode {
  Mode mode = Mode::permissive;
  std::map<uint16_t, Mode> ports;
  const PeerAuthentication* by = nullptr;  // who said `mode`; null: nobody, it is the default
  std::map<uint16_t, const PeerAuthentication*> ports_by;
};
ResolvedMode resolve_mode(const Context& context, const Pod& pod);

// policies.cc
std::vector<pb::PolicyBinding> bindings_of(const Context& context, const Pod& pod);
void derive_policies(Context& context);
// traffic.cc: the TrafficPolicies of a service, oldest first, and what they say of it.
std::vector<const TrafficPolicy*> traffic_of(const Context& context, const ObjectName& service);
void fill_traffic(Context& context, const Service& service, const std::vector<const TrafficPolicy*>& policies,
                  pb::Service& out);
// The one that decides over the weights of endpoints; null: none.
const TrafficPolicy* weights_of(Context& context, const Service& service,
                                const std::vector<const TrafficPolicy*>& policies);
void fill(const Timeouts& from, pb::Timeouts& to);
void fill(const Retry& from, pb::Retry& to);

// workloads.cc, services.cc, mesh.cc, route_tables.cc
void derive_workloads(Context& context);
void derive_services(Context& context);
void derive_mesh(Context& context);
void derive_routes(Context& context);

pb::TlsMode to_proto(Mode mode);

}  // namespace weir::agent

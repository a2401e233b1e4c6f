#pragma once
// The objects the agent reads, reduced to the fields it uses: Kubernetes' own kinds and Weir's, whoever delivered them
// (files/ now, a watch later). Everything is a plain value: parsed once, checked for form by the reader, and given its
// meaning only in derive/.
// Owner: whoever holds the Objects. Thread: values, no sharing. Lifetime: replaced whole by the next reading.
// Source of the names: the Kubernetes API reference (core/v1, discovery/v1) and api.md. Routes have a header of their own.
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "agent/model/meta.h"
#include "agent/model/routes.h"
#include "agent/model/traffic.h"

namespace weir::agent {

struct Namespace {
  Meta meta;
};

struct Node {
  Meta meta;
  std::vector<std::string> pod_cidrs;
  std::vector<std::string> addresses;  // status.addresses that are IPs
};

struct ContainerPort {
  std::string name;
  uint16_t port = 0;
};

struct Pod {
  Meta meta;
  std::string node, service_account = "default", phase;
  std::string runtime_class;  // spec.runtimeClassName; empty: the node's default
  bool host_network = false;
  bool ready = true;                   // condition Ready; true where nobody says
  std::vector<ContainerPort> ports;    // TCP, of all containers
  std::vector<std::string> addresses;  // status.podIPs, or podIP

  // metadata.uid, or "namespace/name" where there is none (files).
  std::string uid() const { return meta.uid.empty() ? meta.ns + "/" + meta.name : meta.uid; }
  // The name the kubelet gives its cgroup: of a static pod it is not the uid of the object that mirrors it.
  std::string kubelet_uid() const {
    const auto mirror = meta.annotations.find("kubernetes.io/config.mirror");
    return mirror == meta.annotations.end() ? uid() : mirror->second;
  }
  bool ended() const { return phase == "Succeeded" || phase == "Failed"; }
};

struct ServicePort {
  std::string name, app_protocol, target_name;
  uint16_t port = 0, target_port = 0;  // target_name wins; neither: port
};

struct Service {
  Meta meta;
  bool external_name = false;
  Labels selector;                     // empty: endpoints come from slices somebody else writes
  std::vector<ServicePort> ports;      // TCP
  std::vector<std::string> addresses;  // cluster, external and load balancer addresses; none when headless
  uint32_t affinity_seconds = 0;       // ClientIP
  bool internal_local = false;         // internalTrafficPolicy: Local
  std::string traffic_distribution;
  bool publish_not_ready = false;
};

struct SlicePort {
  std::string name, app_protocol;
  uint16_t port = 0;
};

struct SliceEndpoint {
  std::string address;
  bool ready = true, serving = true, terminating = false;
  std::string node, zone;
  std::vector<std::string> hint_zones;
  std::optional<ObjectName> target;  // a Pod
};

struct EndpointSlice {
  Meta meta;
  std::string service;  // of the same namespace
  std::vector<SlicePort> ports;
  std::vector<SliceEndpoint> endpoints;
};

// ConfigMap weir-system/weir. Empty fields: the default.
struct MeshSettings {
  Meta meta;
  std::string trust_domain, cluster;
  std::vector<std::string> pod_cidrs, service_cidrs;
  bool allow_unknown_destinations = false;
  bool same_node_encrypted = false;
  bool enrol_nobody = false;  // labels count for nothing: every pod is let go
  uint32_t sessions_per_lane = 0;
};

enum class Mode : uint8_t { permissive, strict, disabled };

struct PeerAuthentication {
  Meta meta;
  Attachment attachment;
  std::optional<Mode> mode;
  std::map<uint16_t, Mode> ports;
};

// The lines of one header field; see mesh.proto.
struct HeaderCondition {
  std::string name;  // lower case
  std::vector<std::string> values, not_values;
};

// One entry of from, to or when; see mesh.proto's Match.
struct Match {
  std::vector<std::string> principals, not_principals, namespaces, not_namespaces, ip_blocks, not_ip_blocks;
  std::vector<uint16_t> ports, not_ports;
  // Only a parsed request can answer these.
  std::vector<std::string> hosts, not_hosts, methods, not_methods, paths, not_paths, grpc, not_grpc;
  std::vector<HeaderCondition> headers;

  bool l7() const {
    return !hosts.empty() || !not_hosts.empty() || !methods.empty() || !not_methods.empty() ||
           !paths.empty() || !not_paths.empty() || !grpc.empty() || !not_grpc.empty() || !headers.empty();
  }
};

struct Rule {
  std::string name;
  std::vector<Match> from, to, when;
};

enum class Action : uint8_t { allow, deny, audit };

struct AuthorizationPolicy {
  Meta meta;
  Attachment attachment;
  Action action = Action::allow;
  std::vector<Rule> rules;
  // Not empty: what makes it invalid. It still counts: as an Allow it matches nothing, as a Deny everything.
  std::string invalid;
};

struct EndpointWeight {
  Labels labels;
  uint32_t weight = 100;
};

// What is empty or unset is not said.
struct TrafficPolicy {
  Meta meta;
  Attachment attachment;
  std::string balancer;  // LeastConnections, RoundRobin, Random, PeakEWMA, LeastRequest, RingHash, Maglev
  std::optional<HashKey> hash;  // with RingHash and Maglev only
  std::string locality;         // None, SameZone, SameNode
  std::vector<EndpointWeight> weights;
  uint32_t slow_start_ms = 0;
  std::optional<CircuitBreaker> circuit_breaker;
  std::optional<OutlierDetection> outlier_detection;
  std::optional<RetryBudget> retry_budget;
  std::optional<Retry> retry;
  std::optional<Timeouts> timeouts;
  std::optional<ConnectionPool> connection_pool;
};

using Object = std::variant<Namespace, Node, Pod, Service, EndpointSlice, MeshSettings, PeerAuthentication,
                            AuthorizationPolicy, TrafficPolicy, HttpRoute, GrpcRoute, ReferenceGrant>;

// "Pod shop/web-0": unique among objects, and what people read.
std::string describe(const Object& object);
const Meta& meta_of(const Object& object);

// All there is, by kind.
struct Objects {
  std::map<std::string, Namespace> namespaces;
  std::map<std::string, Node> nodes;
  std::map<ObjectName, Pod> pods;
  std::map<ObjectName, Service> services;
  std::map<ObjectName, EndpointSlice> slices;
  std::optional<MeshSettings> settings;
  std::map<ObjectName, PeerAuthentication> peer_authentications;
  std::map<ObjectName, AuthorizationPolicy> authorization_policies;
  std::map<ObjectName, TrafficPolicy> traffic_policies;
  std::map<ObjectName, HttpRoute> http_routes;
  std::map<ObjectName, GrpcRoute> grpc_routes;
  std::map<ObjectName, ReferenceGrant> reference_grants;

  void add(Object object);
  // `kind`: the index in Object. Cluster-wide kinds have no namespace in their name.
  const Meta* find(size_t kind, const ObjectName& name) const;
  void remove(size_t kind, const ObjectName& name);
};

// Whether every label of `selector` is among `labels`; an empty selector selects everything.
bool selects(const Labels& selector, const Labels& labels);

// Weir's own namespace: mesh-wide policies live there, its pods are never enrolled.
inline constexpr const char* kWeirNamespace = "weir-system";
inline constexpr const char* kMeshLabel = "weir.dev/mesh";
inline constexpr const char* kNetnsAnnotation = "weir.dev/netns";

}  // namespace weir::agent

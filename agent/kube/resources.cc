// The table of kinds. See resources.h.
#include "agent/kube/resources.h"

#include <fmt/format.h>

#include "agent/model/objects.h"

namespace weir::agent::kube {
namespace {

Resource core(const char* kind, const char* plural) {
  return {kind, "v1", std::string("/api/v1/") + plural, "", "is this a Kubernetes API server?", true};
}

// Policies: a mesh that does not know them would let pass what they deny.
Resource weir_kind(const char* kind, const char* plural) {
  return {kind,
          "weir.dev/v1alpha1",
          std::string("/apis/weir.dev/v1alpha1/") + plural,
          "",
          "Weir's CustomResourceDefinitions are not installed; nothing is configured before they are",
          true};
}

Resource gateway(const char* kind, const char* version, const char* plural) {
  return {kind,
          std::string("gateway.networking.k8s.io/") + version,
          fmt::format("/apis/gateway.networking.k8s.io/{}/{}", version, plural),
          "",
          "the Gateway API's CustomResourceDefinitions (v1.4 or newer, standard channel) are not installed; "
          "there "
          "are no such routes until they are",
          false};
}

}  // namespace

std::vector<WatchedKind> watched_kinds() {
  Resource slices = core("EndpointSlice", "");
  slices.api_version = "discovery.k8s.io/v1";
  slices.path = "/apis/discovery.k8s.io/v1/endpointslices";
  Resource settings = core("ConfigMap", "");
  settings.path = fmt::format("/api/v1/namespaces/{}/configmaps", kWeirNamespace);
  settings.selector = "fieldSelector=metadata.name%3Dweir";
  // In the order of Object.
  const std::vector<Resource> resources{core("Namespace", "namespaces"),
                                        core("Node", "nodes"),
                                        core("Pod", "pods"),
                                        core("Service", "services"),
                                        std::move(slices),
                                        std::move(settings),
                                        weir_kind("PeerAuthentication", "peerauthentications"),
                                        weir_kind("AuthorizationPolicy", "authorizationpolicies"),
                                        weir_kind("TrafficPolicy", "trafficpolicies"),
                                        gateway("HTTPRoute", "v1", "httproutes"),
                                        gateway("GRPCRoute", "v1", "grpcroutes"),
                                        gateway("ReferenceGrant", "v1beta1", "referencegrants")};
  std::vector<WatchedKind> out;
  out.reserve(resources.size());
  for (size_t index = 0; index < resources.size(); ++index) out.push_back({resources[index], index});
  return out;
}

}  // namespace weir::agent::kube

// What is judged of a cluster. See install_check.h.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "agent/cli/install_check.h"
#include "agent/cli/members.h"

namespace weir::agent {
namespace {

using Json = nlohmann::json;

constexpr VersionNumber kApiServerMin{1, 29};  // CEL in CRDs is stable
constexpr VersionNumber kGatewayMin{1, 4};
constexpr const char* kGatewayTodo =
    "kubectl apply --server-side -f https://github.com/kubernetes-sigs/gateway-api/releases/latest/download/"
    "standard-install.yaml";

std::string name_of(const Json& object) { return text_of(member_of(object, "metadata"), "name"); }

void judge_runtime(const std::string& runtime, const std::string& node, std::vector<Finding>& out) {
  const bool known = runtime.starts_with("containerd://") || runtime.starts_with("cri-o://");
  out.push_back({known ? Level::ok : Level::warn, "runtime", visible(runtime),
                 known ? "" : "Weir is tried with containerd and CRI-O", node});
}

Finding judge_gateway_crd(const std::string& name, const Json* crd) {
  if (crd == nullptr) return {Level::fail, "Gateway API", name + " is not there", kGatewayTodo, {}};
  const Json& annotations = member_of(member_of(*crd, "metadata"), "annotations");
  const std::string version = text_of(annotations, "gateway.networking.k8s.io/bundle-version", "");
  const std::string channel = text_of(annotations, "gateway.networking.k8s.io/channel", "unknown");
  const std::string said =
      fmt::format("{} {}, channel {}", name.substr(0, name.find('.')),
                  version.empty() ? "of no version" : visible(version), visible(channel));
  if (version.empty()) {
    return {Level::warn, "Gateway API", said, "Weir needs v1.4 or newer; install the official CRDs", {}};
  }
  if (version_number(version) < kGatewayMin) {
    return {Level::fail, "Gateway API", said + "; v1.4 or newer is needed", kGatewayTodo, {}};
  }
  return {Level::ok, "Gateway API", said, {}, {}};
}

bool says_true(const Json& data, const char* key) { return text_of(data, key, "") == "true"; }

void judge_cilium(const Json& config, std::vector<Finding>& out) {
  const Json& data = member_of(config, "data");
  if (!data.is_object()) {
    out.push_back({Level::warn,
                   "CNI",
                   "Cilium, whose ConfigMap cilium-config cannot be read",
                   "make sure of socketLB.hostNamespaceOnly=true and cni.exclusive=false",
                   {}});
    return;
  }
  const bool socket_balancer = says_true(data, "bpf-lb-sock") || says_true(data, "kube-proxy-replacement");
  bool good = true;
  if (socket_balancer && !says_true(data, "bpf-lb-sock-hostns-only")) {
    good = false;
    out.push_back(
        {Level::fail,
         "CNI",
         "Cilium's socket load balancer replaces Service addresses inside pods, before Weir sees them",
         "set socketLB.hostNamespaceOnly=true in Cilium's values",
         {}});
  }
  if (says_true(data, "cni-exclusive")) {
    good = false;
    out.push_back({Level::fail,
                   "CNI",
                   "Cilium removes the CNI configurations of others",
                   "set cni.exclusive=false in Cilium's values",
                   {}});
  }
  if (good) out.push_back({Level::ok, "CNI", "Cilium, beside which Weir works", {}, {}});
}

void judge_calico(const Json& felix, std::vector<Finding>& out) {
  const Json& spec = member_of(felix, "spec");
  const std::string balancing = text_of(spec, "bpfConnectTimeLoadBalancing", "TCP");
  if (flag_of(spec, "bpfEnabled") && balancing != "Disabled") {
    out.push_back({Level::fail,
                   "CNI",
                   "Calico's eBPF data plane replaces Service addresses inside pods, before Weir sees them",
                   "set bpfConnectTimeLoadBalancing: Disabled and bpfHostNetworkedNATWithoutCTLB: Enabled in "
                   "FelixConfiguration default",
                   {}});
    return;
  }
  out.push_back({Level::ok, "CNI", "Calico", {}, {}});
}

}  // namespace

std::vector<Finding> judge_nodes(const Json& nodes) {
  std::vector<Finding> out;
  for (const Json& node : list_of(nodes, "items")) {
    const std::string name = name_of(node);
    const Json& info = member_of(member_of(node, "status"), "nodeInfo");
    const std::string system = text_of(info, "operatingSystem", "linux");
    if (system != "linux") {
      out.push_back(
          {Level::warn, "system", visible(system), "Weir leaves the pods of this node alone", name});
      continue;
    }
    Finding kernel = judge_kernel(text_of(info, "kernelVersion"));
    kernel.node = name;
    out.push_back(std::move(kernel));
    const std::string architecture = text_of(info, "architecture");
    const bool built = architecture == "amd64";
    out.push_back({built ? Level::ok : Level::fail, "architecture", visible(architecture),
                   built ? "" : "Weir is built for amd64: keep weir-node and enrolled pods off this node",
                   name});
    judge_runtime(text_of(info, "containerRuntimeVersion"), name, out);
  }
  return out;
}

Finding judge_api_server(const Json& version) {
  const std::string text = text_of(member_of(version, "serverVersion"), "gitVersion", "");
  if (text.empty()) {
    return {Level::fail, "API server", "it does not tell its version", "is the API server up?", {}};
  }
  if (version_number(text) < kApiServerMin) {
    return {Level::fail, "API server", visible(text), "Kubernetes 1.29 or newer is needed", {}};
  }
  return {Level::ok, "API server", visible(text), {}, {}};
}

std::vector<Finding> judge_crds(const Json& crds, bool installed) {
  std::map<std::string, const Json*> found;
  for (const Json& crd : list_of(crds, "items")) found[name_of(crd)] = &crd;
  const auto find = [&](const char* name) {
    const auto at = found.find(name);
    return at == found.end() ? nullptr : at->second;
  };
  std::vector<Finding> out;
  for (const char* name : kGatewayCrds) out.push_back(judge_gateway_crd(name, find(name)));
  std::string missing;
  for (const char* name : kWeirCrds) {
    if (find(name) == nullptr) missing += (missing.empty() ? "" : ", ") + std::string(name);
  }
  if (missing.empty()) {
    out.push_back({Level::ok, "Weir's CRDs", "all are there", {}, {}});
  } else if (installed) {
    out.push_back({Level::fail,
                   "Weir's CRDs",
                   missing + " not there",
                   "kubectl apply --server-side -f charts/weir/crds/",
                   {}});
  } else {
    out.push_back({Level::ok, "Weir's CRDs", "not there yet: helm install brings them", {}, {}});
  }
  return out;
}

std::vector<Finding> judge_cni(const Json& daemon_sets, const Json& cilium_config, const Json& felix_config) {
  std::set<std::string> names;
  for (const Json& set : list_of(daemon_sets, "items")) names.insert(name_of(set));
  std::vector<Finding> out;
  if (names.contains("cilium")) judge_cilium(cilium_config, out);
  if (names.contains("calico-node")) judge_calico(felix_config, out);
  for (const auto& [name, what] : {std::pair("kube-flannel-ds", "Flannel"),
                                   {"kube-flannel", "Flannel"},
                                   {"kindnet", "kindnet"},
                                   {"aws-node", "Amazon's VPC CNI"},
                                   {"azure-cns", "Azure's CNI"},
                                   {"antrea-agent", "Antrea"}}) {
    if (names.contains(name)) out.push_back({Level::ok, "CNI", what, {}, {}});
  }
  if (out.empty()) {
    out.push_back({Level::warn,
                   "CNI",
                   "no DaemonSet of a CNI that this weirctl knows",
                   "any that gives pods network namespaces with routed addresses will do",
                   {}});
  }
  for (const char* name : {"istio-cni-node", "ztunnel", "linkerd-cni"}) {
    if (!names.contains(name)) continue;
    out.push_back({Level::warn,
                   "other meshes",
                   std::string("DaemonSet ") + name + " is there",
                   "a pod can be in one mesh only: do not enrol namespaces in both",
                   {}});
  }
  return out;
}

std::vector<Finding> judge_runtime_classes(const Json& classes) {
  std::vector<Finding> out;
  for (const Json& one : list_of(classes, "items")) {
    const std::string handler = text_of(one, "handler", "");
    if (handler.find("runsc") == std::string::npos && handler.find("gvisor") == std::string::npos &&
        handler.find("kata") == std::string::npos) {
      continue;
    }
    out.push_back({Level::warn,
                   "RuntimeClass",
                   visible(name_of(one)) + " has a kernel of its own",
                   "its pods cannot be captured, and are refused with a status: do not enrol them",
                   {}});
  }
  return out;
}

}  // namespace weir::agent

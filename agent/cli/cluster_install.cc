// `weirctl install-check` over a cluster: asks kubectl for what install_cluster.cc judges, and each node that already has
// an agent for the rest. See options.h.
#include <fmt/format.h>

#include <iterator>

#include "agent/cli/fleet.h"
#include "agent/cli/install_check.h"
#include "agent/cli/members.h"
#include "agent/cli/options.h"

namespace weir::agent {
namespace {

using Json = nlohmann::json;

struct Right {
  const char *verb, *resource, *ns;  // ns empty: of the cluster
  bool to_install;                   // else to look with weirctl
};
constexpr Right kRights[] = {
    {"create", "customresourcedefinitions.apiextensions.k8s.io", "", true},
    {"create", "clusterroles.rbac.authorization.k8s.io", "", true},
    {"create", "clusterrolebindings.rbac.authorization.k8s.io", "", true},
    {"create", "namespaces", "", true},
    {"create", "daemonsets.apps", kWeirNamespaceName, true},
    {"list", "nodes", "", false},
    {"get", "pods", "", false},
    {"list", "pods", kWeirNamespaceName, false},
    {"create", "pods/exec", kWeirNamespaceName, false},
};

void add(std::vector<Finding>& to, std::vector<Finding> more) {
  to.insert(to.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
}

std::vector<Finding> judge_rights(const Kubectl& kubectl, bool installed) {
  std::vector<Command> commands;
  for (const Right& right : kRights) {
    std::vector<std::string> arguments{"auth", "can-i", right.verb, right.resource};
    if (*right.ns != '\0') {
      arguments.push_back(std::string("--namespace=") + right.ns);
    } else {
      arguments.push_back("--all-namespaces");
    }
    commands.push_back(kubectl.command(std::move(arguments)));
  }
  const auto ran = run_all(commands, kGetTimeMax);
  std::vector<Finding> out;
  for (size_t i = 0; i < ran.size(); ++i) {
    if (ran[i].out.starts_with("yes")) continue;
    if (!ran[i].out.starts_with("no")) {
      return {{Level::warn, "your rights", why_failed(ran[i], "ask for your rights"), "", {}}};
    }
    const Right& right = kRights[i];
    const std::string where = *right.ns == '\0' ? "" : std::string(" in ") + right.ns;
    out.push_back({right.to_install && !installed ? Level::fail : Level::warn,
                   "your rights",
                   fmt::format("you may not {} {}{}", right.verb, right.resource, where),
                   right.to_install ? "to install needs it: ask who administers the cluster"
                                    : "weirctl needs it to look: ask who administers the cluster",
                   {}});
  }
  if (out.empty()) out.push_back({Level::ok, "your rights", "to install, and to look", {}, {}});
  return out;
}

Finding unknown(const char* about, const std::string& error) { return {Level::fail, about, error, "", {}}; }

// What nodes with an agent say of themselves; the others are told.
void judge_agents(const CtlOptions& options, const Fleet& fleet, std::vector<Finding>& out) {
  for (const auto& one : ask_fleet(options.kubectl, fleet, {"install-check", "-o", "json"})) {
    if (!one.error.empty()) {
      out.push_back({Level::warn, "agent", one.error, "its BPF, BTF, cgroups and io_uring were not looked at",
                     one.node});
      continue;
    }
    for (Finding& finding : findings_of(one.answer, one.node)) {
      if (finding.about != "kernel") out.push_back(std::move(finding));  // the Node object said it
    }
  }
}

}  // namespace

int cluster_install_check(const CtlOptions& options) {
  const Kubectl& kubectl = options.kubectl;
  std::vector<std::string> get_crds{"get", "customresourcedefinitions", "-o", "json", "--ignore-not-found"};
  get_crds.insert(get_crds.end(), std::begin(kGatewayCrds), std::end(kGatewayCrds));
  get_crds.insert(get_crds.end(), std::begin(kWeirCrds), std::end(kWeirCrds));
  const auto ran = run_all(
      {kubectl.command({"version", "-o", "json"}), kubectl.command({"get", "nodes", "-o", "json"}),
       kubectl.command(get_crds), kubectl.command({"get", "daemonsets", "--all-namespaces", "-o", "json"}),
       kubectl.command(
           {"get", "configmap", "cilium-config", "-n", "kube-system", "-o", "json", "--ignore-not-found"}),
       kubectl.command({"get", "felixconfigurations.crd.projectcalico.org", "default", "-o", "json"}),
       kubectl.command({"get", "runtimeclasses", "-o", "json"})},
      kGetTimeMax);
  std::vector<Finding> out;
  const Got version = json_of(ran[0], "ask the API server");
  // Without an API server every other line would say the same.
  if (!version.error.empty()) return failed(version.error);
  out.push_back(judge_api_server(version.answer));

  const Fleet fleet = find_fleet(kubectl);
  const bool installed = !fleet.nodes.empty() && fleet.error.empty();
  const Got nodes = json_of(ran[1], "list nodes");
  add(out, nodes.error.empty() ? judge_nodes(nodes.answer) : std::vector{unknown("nodes", nodes.error)});
  const Got crds = json_of(ran[2], "look for CRDs");
  add(out,
      crds.error.empty() ? judge_crds(crds.answer, installed) : std::vector{unknown("CRDs", crds.error)});
  const Got sets = json_of(ran[3], "list DaemonSets");
  add(out, sets.error.empty() ? judge_cni(sets.answer, json_of(ran[4], "").answer, json_of(ran[5], "").answer)
                              : std::vector{unknown("CNI", sets.error)});
  add(out, judge_runtime_classes(json_of(ran[6], "").answer));
  add(out, judge_rights(kubectl, installed));
  if (installed) {
    judge_agents(options, fleet, out);
  } else {
    out.push_back({Level::ok,
                   "Weir",
                   "not installed yet: BPF, BTF, cgroups and io_uring of the nodes were not looked at",
                   "`weirctl --local install-check` does, on a node",
                   {}});
  }
  fmt::print("{}", options.json() ? findings_json(out).dump(1) + "\n" : findings_text(out));
  return any_failed(out) ? 1 : 0;
}

}  // namespace weir::agent

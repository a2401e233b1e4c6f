// weirctl: what Weir does, for a person's shell. On a node it asks the administration sockets of the node's agent and
// proxy; from anywhere else it asks the cluster, by the user's kubectl.
#include <CLI/CLI.hpp>
#include <csignal>
#include <filesystem>
#include <map>

#include "agent/cli/options.h"

namespace {

using namespace weir::agent;

struct Verb {
  const char *name, *about;
  int (*local)(const CtlOptions&);
  int (*cluster)(const CtlOptions&);
};
constexpr Verb kVerbs[] = {
    {"install-check", "whether Weir can run here, and what to do where not", local_install_check,
     cluster_install_check},
    {"status", "nodes of a cluster, or with --node the pods of one: capture, identities, certificates, modes",
     local_status, cluster_status},
    {"why", "why a pod is treated as it is: mode, policies, routes, capture, last refusals", local_why,
     cluster_why},
    {"tap", "requests as they end, until interrupted", local_tap, cluster_tap},
    {"graph", "who calls whom: rate, success, latency", local_graph, cluster_graph},
    {"check", "tests whether each pod's capture really is in place", local_check, cluster_check},
    {"version", "of weirctl, agents and proxies, and where they differ", local_version, cluster_version},
};

void add_options(CLI::App& to, const std::string& name, CtlOptions& options) {
  to.fallthrough();
  if (name == "why") to.add_option("pod", options.pod, "NAMESPACE/NAME, or NAME with -n")->required();
  if (name == "install-check") {
    to.add_option("--cgroup-root", options.cgroup_root, "on a node: where cgroup v2 is mounted");
    to.add_option("--cni-dir", options.cni_dir, "on a node: where CNI configurations are")
        ->capture_default_str();
  }
  if (name == "tap") {
    to.add_option("--workload", options.tap.workload, "NAMESPACE/NAME of the source, destination or service");
    to.add_option("--route", options.tap.route, "NAMESPACE/ROUTE, or one of its rules");
    to.add_option("--status", options.tap.status, "a class (5xx), a code (404) or none");
    to.add_option("--count", options.tap_count, "ends after so many");
    to.add_flag("--while-input", options.while_input, "ends with standard input")->group("");
  }
  if (name == "graph") {
    to.add_option("--interval", options.interval_ms, "how long to watch: 2s, 500ms")
        ->transform(
            CLI::AsNumberWithUnit(std::map<std::string, double>{{"ms", 1}, {"s", 1000}, {"m", 60'000}},
                                  CLI::AsNumberWithUnit::UNIT_REQUIRED))
        ->check(CLI::Range(1.0, 3'600'000.0));
    to.add_flag("--samples", options.samples, "prints what the rates are made from")->group("");
  }
}

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  CtlOptions options;
  bool local = false;
  CLI::App cli("weirctl: what Weir does, in a cluster (by kubectl) or on this node");
  cli.set_version_flag("--version", WEIR_VERSION);
  cli.add_option("-n,--namespace", options.ns, "of the pod");
  cli.add_option("--node", options.node, "of a cluster, only this node");
  cli.add_option("--kubectl", options.kubectl.program, "the program to ask the cluster with")
      ->capture_default_str();
  auto* kubeconfig = cli.add_option("--kubeconfig", options.kubectl.kubeconfig, "for kubectl");
  auto* context = cli.add_option("--context", options.kubectl.context, "for kubectl");
  auto* here = cli.add_flag("--local", local, "asks this node's agent and proxy, not the cluster");
  auto* run_dir = cli.add_option("--run-dir", options.run_dir, "where this node's sockets are; --local")
                      ->envname("WEIR_RUN_DIR")
                      ->capture_default_str();
  auto* agent_socket = cli.add_option("--agent-socket", options.agent_socket,
                                      "the agent's administration socket; RUN_DIR/agent-admin.sock; --local");
  auto* proxy_socket = cli.add_option("--proxy-socket", options.proxy_socket,
                                      "the proxy's administration socket; RUN_DIR/proxy-admin.sock; --local");
  for (auto* of_cluster : {kubeconfig, context}) {  // WEIR_RUN_DIR may stand in the environment all the same
    for (auto* of_node : {here, agent_socket, proxy_socket}) of_cluster->excludes(of_node);
  }
  cli.add_option("-o,--output", options.output, "text or json")->check(CLI::IsMember({"text", "json"}));
  std::map<const Verb*, CLI::App*> subcommands;
  for (const Verb& command : kVerbs) {
    subcommands[&command] = cli.add_subcommand(command.name, command.about);
    add_options(*subcommands[&command], command.name, options);
  }
  cli.require_subcommand(1);
  CLI11_PARSE(cli, argc, argv);
  if (options.agent_socket.empty()) options.agent_socket = options.run_dir + "/agent-admin.sock";
  if (options.proxy_socket.empty()) options.proxy_socket = options.run_dir + "/proxy-admin.sock";
  const bool cluster_named = *kubeconfig || *context;
  std::error_code error;
  // Who names neither means the node they are on, if it is one.
  local = !cluster_named && (local || *run_dir || *agent_socket || *proxy_socket ||
                             std::filesystem::exists(options.agent_socket, error));
  for (const auto& [command, subcommand] : subcommands) {
    if (*subcommand) return local ? command->local(options) : command->cluster(options);
  }
  return 1;
}

// weir-agent: run (the default), derive, uninstall, ca rotate | retire | list, and those of commands.h. Parses the command
// line and owns what run needs.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <optional>

#include "agent/commands.h"
#include "agent/derive_command.h"
#include "agent/identity/roots.h"
#include "agent/loop/duration.h"
#include "agent/loop/files.h"
#include "agent/run.h"
#include "agent/uninstall.h"
#include "nodeproxy/base/log.h"

namespace {

using namespace weir;
using namespace weir::agent;

int complain(const Error& error) {
  log::error("{}", error.describe());
  return 1;
}

int ca_rotate(const AgentOptions& options) {
  const auto id = rotate_root(options.ca_dir);
  if (!id) return complain(id.error());
  fmt::print("{}\n", *id);
  return 0;
}

int ca_retire(const AgentOptions& options, const std::string& id) {
  const auto done = retire_root(options.ca_dir, id);
  return done ? 0 : complain(done.error());
}

bool names_are_good(const AgentOptions& options) {
  const auto plain = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-';
  };
  if (options.node.empty() || !std::ranges::all_of(options.node, plain)) {
    log::error("--node is needed: a node's name of lower case letters, digits, dots and dashes");
    return false;
  }
  if (options.trust_domain.empty() ||
      !std::ranges::all_of(options.trust_domain, [&](char c) { return plain(c) || c == '_'; })) {
    log::error("--trust-domain {} is no SPIFFE trust domain", options.trust_domain);
    return false;
  }
  return true;
}

// Where objects come from.
void add_source_options(CLI::App& cli, AgentOptions& options) {
  auto* source = cli.add_option("--source", options.source_dir, "directory of YAML objects");
  auto* kubernetes =
      cli.add_flag("--kubernetes", options.kubernetes, "objects come from the API server")->excludes(source);
  cli.add_option("--api-server", options.api_server, "https://HOST:PORT, unless as a pod is told")
      ->needs(kubernetes);
  cli.add_option("--kube-ca", options.kube_ca, "roots of the API server's certificate")->needs(kubernetes);
  cli.add_option("--kube-token", options.kube_token, "file with the token, read anew for each request")
      ->needs(kubernetes);
  cli.add_option("--kube-cert", options.kube_certificate, "a client certificate, in place of a token")
      ->needs(kubernetes);
  cli.add_option("--kube-key", options.kube_key, "its key")->needs(kubernetes);
}

// The `derive` command; its flags are how to print.
CLI::App* add_derive(CLI::App& cli, DeriveOutput& output) {
  auto* command =
      cli.add_subcommand("derive", "print what would be configured on --node, as JSON; changes nothing")
          ->fallthrough();
  command->add_flag("--follow", output.follow, "a line for each change, until interrupted");
  command->add_flag("--summary", output.summary, "numbers in place of the resources");
  return command;
}

int ca_list(const AgentOptions& options) {
  const auto roots = read_roots(options.ca_dir);
  if (!roots) return complain(roots.error());
  const Root* signing = signing_root(*roots, std::time(nullptr));
  for (const auto& root : *roots) {
    fmt::print("{}  {}\n", root.id, &root == signing ? "signs" : root.key ? "trusted, has a key" : "trusted");
  }
  return 0;
}

// Where things are on the node.
void add_node_options(CLI::App& cli, AgentOptions& options) {
  cli.add_option("--cgroup-root", options.cgroup_root, "mount point of cgroup v2")->capture_default_str();
  cli.add_option("--kubepods-cgroup", options.kubepods_cgroup, "cgroup below which pods run; empty: found");
  cli.add_option("--bpffs", options.bpffs_dir, "directory on a BPF file system, for pins")
      ->capture_default_str();
  cli.add_option("--pin-schema", options.schema)->group("");  // for tests of up- and downgrades
  cli.add_option("--netns-dir", options.netns_dir, "network namespaces by name")->capture_default_str();
  cli.add_option("--host-proc", options.host_proc, "/proc of the node's pid namespace")
      ->capture_default_str();
  cli.add_option("--node-netns", options.node_netns,
                 "the node's network namespace; empty: with files the agent's own");
  cli.add_option("--cni-socket", options.cni_socket, "where the CNI plugin asks; empty: nowhere");
  cli.add_option("--cni-bin-dir", options.cni_bin_dir, "the runtime's CNI plugins; empty: none is installed");
  cli.add_option("--cni-conf-dir", options.cni_conf_dir, "the runtime's CNI configuration, the same");
  cli.add_option("--cni-plugin", options.cni_plugin, "weir-cni to install; empty: beside this program");
}

// The plugin's places belong together: an installed plugin without a socket would hold every pod back. Who takes it away
// needs none.
bool cni_options_fit(const AgentOptions& options, bool uninstalls) {
  const bool installed = !options.cni_conf_dir.empty();
  return installed == !options.cni_bin_dir.empty() &&
         (!installed || uninstalls || !options.cni_socket.empty());
}

// Reads them, too.
bool durations_are_good(AgentOptions& options, const std::string& life, const std::string& linger) {
  const auto seconds = parse_duration(life);
  if (!seconds || seconds->count() < 10) {
    log::error("--cert-ttl {}: at least 10s, as 24h, 30m or 10s", life);
    return false;
  }
  options.certificate_life = *seconds;
  if (linger.empty()) return true;
  const auto lingers = parse_duration(linger);
  if (!lingers) {
    log::error("--linger {}: as 20s or 1m", linger);
    return false;
  }
  options.linger = *lingers;
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  AgentOptions options;
  std::string life = "24h", linger, root_id;
  CLI::App cli("weir-agent: reads the cluster, captures pods, keeps the node's proxy in step");
  cli.set_version_flag("--version", WEIR_VERSION);
  cli.add_option("--node", options.node, "name of this node")->check([](const std::string& name) {
    return name.empty() ? "must not be empty" : "";
  });
  add_source_options(cli, options);
  cli.add_option("--state-dir", options.state_dir, "what must survive a restart; also the lock")
      ->capture_default_str();
  cli.add_flag("--take-over", options.take_over,
               "ask an agent that runs on this node already to hand it over, and hand it over when asked");
  cli.add_option(
      "--linger", linger,
      "with --take-over: how long to go on after SIGTERM, until another asks, while pods are captured");
  cli.add_option("--shared-dir", options.shared_dir, "announcements, shared by all nodes")
      ->capture_default_str();
  std::string ca_kind = "embedded";
  cli.add_option("--ca", ca_kind, "who signs: embedded (this agent, by --ca-dir) or controller")
      ->check(CLI::IsMember({"embedded", "controller"}))
      ->capture_default_str();
  cli.add_option("--controller", options.controller, "weir-controller's address")->capture_default_str();
  cli.add_option("--ca-token", options.ca_token, "file with the token for it, read anew for each call")
      ->capture_default_str();
  cli.add_option("--ca-dir", options.ca_dir, "root certificates and keys")->capture_default_str();
  cli.add_option("--cert-ttl", life, "life of a workload's certificate: 24h, 30m, 10s")
      ->capture_default_str();
  cli.add_option("--trust-domain", options.trust_domain, "unless the settings name one")
      ->capture_default_str();
  cli.add_option("--proxy-socket", options.proxy_socket, "where the proxy connects")->capture_default_str();
  cli.add_option("--admin-socket", options.admin_socket, "HTTP: /status /check /metrics /healthz /readyz")
      ->capture_default_str();
  cli.add_option("--metrics-listen", options.metrics_listen, "HTTP: /metrics /healthz /readyz; empty: none")
      ->capture_default_str();
  add_node_options(cli, options);
  cli.add_option("--listeners", options.listeners, "listeners per pod and direction; 0: as many as cores")
      ->check(CLI::Range(0, 64));
  cli.add_option("--log-level", options.log_level, "debug, info, warn, error")->capture_default_str();
  auto* run_command = cli.add_subcommand("run", "run the agent (the default)")->fallthrough();
  auto* uninstall_command =
      cli.add_subcommand("uninstall", "leave pods and node as they were")->fallthrough();
  const Commands commands(cli, *uninstall_command);
  DeriveOutput output;
  auto* derive_command = add_derive(cli, output);
  auto* ca = cli.add_subcommand("ca", "the roots in --ca-dir")->fallthrough();
  auto* rotate = ca->add_subcommand("rotate", "add a root, which will sign; prints its id")->fallthrough();
  auto* retire = ca->add_subcommand("retire", "remove a root: what it signed is refused")->fallthrough();
  retire->add_option("id", root_id, "as printed by rotate or list")->required();
  auto* list = ca->add_subcommand("list", "the roots, oldest first")->fallthrough();
  ca->require_subcommand(1);
  cli.require_subcommand(0, 1);
  CLI11_PARSE(cli, argc, argv);

  if (!log::init("weir-agent", options.log_level)) {
    fmt::print(stderr, "weir-agent: --log-level {} is none of debug, info, warn, error\n", options.log_level);
    return 2;
  }
  if (!durations_are_good(options, life, linger)) return 2;
  options.ca_controller = ca_kind == "controller";
  if (const auto code = commands.run()) return *code;
  if (*rotate) return ca_rotate(options);
  if (*retire) return ca_retire(options, root_id);
  if (*list) return ca_list(options);
  if (!names_are_good(options)) return 2;
  if (!cni_options_fit(options, uninstall_command->parsed())) {
    log::error("--cni-bin-dir and --cni-conf-dir go together, and need --cni-socket");
    return 2;
  }
  if (*uninstall_command) return commands.after_uninstall(uninstall(options));
  if (options.source_dir.empty() && !options.kubernetes) {
    log::error("--source DIR or --kubernetes is needed{}", *run_command ? "" : "; see --help");
    return 2;
  }
  return *derive_command ? print_derived(options, output) : run_agent(options);
}

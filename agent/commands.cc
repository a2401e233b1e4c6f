// Their command lines. See commands.h.
#include "agent/commands.h"

#include "agent/uninstall_cluster.h"
#include "agent/validate.h"
#include "nodeproxy/base/log.h"

namespace weir::agent {

Commands::Commands(CLI::App& cli) {
  validate_ = cli.add_subcommand("validate", "whether the agent would take these files");
  validate_->add_option("file", files_, "YAML, as kubectl takes it")->required();
  uninstall_cluster_ =
      cli.add_subcommand("uninstall-cluster", "what helm uninstall asks before it removes Weir");
  uninstall_cluster_
      ->add_option("step", step_, "release: let every pod go; await-nodes: until all nodes are clean")
      ->required()
      ->check(CLI::IsMember({"release", "await-nodes"}));
  uninstall_cluster_->add_option("--timeout", timeout_seconds_, "seconds")->capture_default_str();
  uninstall_cluster_->add_option("--server", api_.server, "https://HOST:PORT; the cluster this runs in");
  uninstall_cluster_->add_option("--ca-file", api_.ca_file, "roots of its certificate");
  uninstall_cluster_->add_option("--token-file", api_.token_file, "a service account's token");
}

std::optional<int> Commands::run() const {
  if (*validate_) return validate_files(files_) ? 0 : 1;
  if (*uninstall_cluster_) return uninstall_cluster();
  return std::nullopt;
}

int Commands::uninstall_cluster() const {
  kube::ClientOptions api = api_;
  if (api.server.empty()) {
    auto found = kube::ClientOptions::in_cluster();
    if (!found) return log::error("{}", found.error().describe()), 1;
    api = std::move(*found);
  }
  if (auto ok = api.check(); !ok) return log::error("{}", ok.error().describe()), 1;
  ClusterUninstall uninstall(std::move(api), std::chrono::seconds(timeout_seconds_), std::chrono::seconds(2));
  const Status done = step_ == "release" ? uninstall.release() : uninstall.await_nodes();
  if (!done) return log::error("{}", done.error().describe()), 1;
  log::info("{}", step_ == "release" ? "every pod has been let go" : "every node is as it was");
  return 0;
}

}  // namespace weir::agent

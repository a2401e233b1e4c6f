// Their command lines. See commands.h.
#include "agent/commands.h"

#include <csignal>
#include <filesystem>
#include <system_error>

#include "agent/uninstall_cluster.h"
#include "agent/validate.h"
#include "nodeproxy/base/log.h"

namespace weir::agent {

Commands::Commands(CLI::App& cli, CLI::App& uninstall) {
  uninstall.add_option("--remove", also_remove_, "files or directories to remove afterwards");
  uninstall.add_flag("--stay", stays_, "then wait for a signal, as a container that must not end");
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

int Commands::after_uninstall(int code) const {
  if (code != 0) return code;
  for (const auto& path : also_remove_) {
    std::error_code error;
    std::filesystem::remove_all(path, error);
    if (!error) continue;
    log::error("cannot remove {}: {}", path, error.message());
    code = 1;
  }
  if (code != 0 || !stays_) return code;
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
  int signal = 0;
  return ::sigwait(&set, &signal) == 0 ? 0 : 1;
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

#pragma once
// The subcommands of weir-agent that need no agent to run and touch no node: validate, uninstall-cluster.
// Owner: main. Thread: the main thread's.
#include <CLI/CLI.hpp>
#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "agent/kube/client_options.h"

namespace weir::agent {

class Commands {
 public:
  explicit Commands(CLI::App& cli);
  // The exit code of the one that was named; nothing when none of these was.
  std::optional<int> run() const;

 private:
  int uninstall_cluster() const;

  CLI::App* validate_ = nullptr;
  CLI::App* uninstall_cluster_ = nullptr;
  std::vector<std::string> files_;
  std::string step_;
  unsigned timeout_seconds_ = 300;
  kube::ClientOptions api_;  // no server: the cluster this runs in
};

}  // namespace weir::agent

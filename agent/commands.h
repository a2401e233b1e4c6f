#pragma once
// The subcommands of weir-agent that touch no node: validate, uninstall-cluster; and what uninstall is asked for besides when
// it runs in a cluster.
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
  Commands(CLI::App& cli, CLI::App& uninstall);
  // The exit code of the one that was named; nothing when none of these was.
  std::optional<int> run() const;
  // Removes what else was put on the node for Weir, and stays if that was asked for. `code`: of uninstalling itself; the
  // exit code of both.
  int after_uninstall(int code) const;

 private:
  int uninstall_cluster() const;

  CLI::App* validate_ = nullptr;
  CLI::App* uninstall_cluster_ = nullptr;
  std::vector<std::string> files_, also_remove_;
  bool stays_ = false;
  std::string step_;
  unsigned timeout_seconds_ = 300;
  kube::ClientOptions api_;  // no server: the cluster this runs in
};

}  // namespace weir::agent

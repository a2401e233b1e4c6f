#pragma once
// What weirctl's command line says. Plain values, filled by main.cc. Thread: read-only after the start.
#include <cstdint>
#include <string>

#include "agent/cli/kubectl.h"
#include "agent/cli/tap.h"

namespace weir::agent {

struct CtlOptions {
  std::string run_dir = "/run/weir", agent_socket, proxy_socket, output = "text";
  std::string cgroup_root, cni_dir = "/etc/cni/net.d";
  Kubectl kubectl;
  std::string ns, node, pod;
  TapOptions tap;
  uint64_t tap_count = 0;  // 0: until interrupted
  bool while_input = false;
  double interval_ms = 2000;
  bool samples = false;

  bool json() const { return output == "json"; }
};

// Prints "weirctl: ERROR" to standard error; 1.
int failed(const std::string& error);

// local.cc: this node's agent and proxy, by their sockets. Exit statuses.
int local_status(const CtlOptions& options);
int local_check(const CtlOptions& options);
int local_why(const CtlOptions& options);
int local_tap(const CtlOptions& options);
int local_graph(const CtlOptions& options);
int local_version(const CtlOptions& options);
int local_install_check(const CtlOptions& options);

// cluster.cc: every node, by kubectl.
int cluster_status(const CtlOptions& options);
int cluster_check(const CtlOptions& options);
int cluster_why(const CtlOptions& options);
int cluster_tap(const CtlOptions& options);
int cluster_graph(const CtlOptions& options);
int cluster_version(const CtlOptions& options);
int cluster_install_check(const CtlOptions& options);

}  // namespace weir::agent

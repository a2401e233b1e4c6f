#pragma once
// What the command line of weir-agent says. Plain values, filled by main.cc. Thread: read-only after the start.
#include <chrono>
#include <filesystem>
#include <string>

namespace weir::agent {

struct AgentOptions {
  // Objects come from the API server: pods are real ones of this node, and the agent is in a container.
  bool in_cluster() const { return kubernetes; }

  std::string node;
  std::filesystem::path source_dir;
  bool kubernetes =
      false;  // objects and announcements are the API server's; else source_dir's and shared_dir's
  std::string api_server;  // with kubernetes; empty: as a pod is told
  std::filesystem::path kube_ca, kube_token, kube_certificate, kube_key;
  std::filesystem::path state_dir = "/var/lib/weir/state";
  bool take_over =
      false;  // from an agent that runs, and by one that comes: else the second to come is an error
  // After SIGTERM, while pods are captured: how long to go on until a successor asks. Without one, somebody must hold their
  // listeners.
  std::chrono::seconds linger{0};
  std::filesystem::path shared_dir = "/var/lib/weir/shared";
  std::filesystem::path ca_dir = "/var/lib/weir/ca";
  bool ca_controller = false;  // weir-controller signs; else this agent, by ca_dir
  std::string controller = "weir-controller.weir-system.svc:15012";
  std::filesystem::path ca_token = "/var/run/secrets/weir.dev/ca/token";
  std::chrono::seconds certificate_life{24 * 3600};
  std::string trust_domain = "cluster.local";
  std::string proxy_socket = "/run/weir/agent.sock";
  std::string admin_socket = "/run/weir/agent-admin.sock";
  std::string metrics_listen = "0.0.0.0:15021";  // empty: none
  std::filesystem::path cgroup_root = "/sys/fs/cgroup/unified";
  std::filesystem::path kubepods_cgroup;  // empty: found below cgroup_root
  std::filesystem::path bpffs_dir = "/sys/fs/bpf/weir";
  unsigned schema = 0;  // of the pins there; 0: this program's own
  std::filesystem::path netns_dir = "/run/netns";
  std::filesystem::path host_proc = "/proc";  // of the node's pid namespace
  std::filesystem::path node_netns;  // empty: of host_proc's first process, with files the agent's own
  std::string cni_socket;            // empty: no CNI plugin asks
  std::filesystem::path cni_bin_dir, cni_conf_dir;  // both empty: no CNI plugin is installed
  std::filesystem::path cni_plugin;                 // empty: beside the agent's own program
  unsigned listeners = 0;                           // 0: as many as cores
  std::string log_level = "info";
};

}  // namespace weir::agent

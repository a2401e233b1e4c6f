#pragma once
// What this machine has of what Weir needs. Reading only; judging is install_check.h's. Thread: any.
#include <string>
#include <vector>

namespace weir::agent {

struct NodeFacts {
  std::string kernel;            // uname -r
  bool btf = false;              // /sys/kernel/btf/vmlinux can be read
  bool bpffs = false;            // /sys/fs/bpf is a BPF file system
  int bpf_errno = 0;             // of making a map: 0, EPERM (no right to), ENOSYS
  std::string cgroup2;           // where cgroup v2 is mounted; empty: nowhere
  std::string driver;            // what the running proxy uses: "io_uring"; empty: none runs
  int io_uring_errno = 0;        // of making a ring in this process
  int io_uring_disabled = -1;    // sysctl kernel.io_uring_disabled; -1: not there
  bool cni_dir = false;          // it is there
  std::vector<std::string> cni;  // the configurations in it, in the order in which runtimes choose
  bool weir_cni = false;         // the first of them has Weir's plugin
};

struct NodePlaces {
  std::string cgroup_root;  // empty: found among the mounts
  std::string cni_dir;
};

NodeFacts read_node_facts(const NodePlaces& places, std::string driver);

}  // namespace weir::agent

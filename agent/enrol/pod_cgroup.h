#pragma once
// The processes of a pod, by the cgroup that the kubelet made for it: no runtime is asked.
//
// Concept: the kubelet names a pod's cgroup after its uid, in one of two forms (its cgroup drivers), below a class of
// service, below "kubepods", in every hierarchy it uses. What is below that is the runtime's affair; every process in it
// is the pod's. A number read from cgroup.procs may be another process's by the time it is used; so the process is held
// by its directory in /proc, which keeps meaning that process, and the list is read again: a number that is still
// listed was the pod's all the while.
// Thread: any; blocking. Lifetime: values. Source: kubelet's pkg/kubelet/cm/cgroup_manager_linux.go, cgroups(7).
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "nodeproxy/base/error.h"
#include "nodeproxy/base/fd.h"

namespace weir::agent {

struct CgroupTree {
  // Mounted hierarchies: of cgroup v2, and those of v1 where the kubelet uses them. hierarchies_beside() finds them.
  std::vector<std::filesystem::path> hierarchies;
  // The cgroup below which the kubelet keeps its pods, relative to a hierarchy. More than one: each is tried.
  std::vector<std::filesystem::path> kubepods;
};

// cgroup v2's mount point and the v1 hierarchies mounted next to it.
std::vector<std::filesystem::path> hierarchies_beside(const std::filesystem::path& cgroup_root);
// Where kubelets usually keep their pods, and where the process with these memberships (the text of /proc/PID/cgroup)
// is, if it is in a pod: the agent's own tells where this node's are.
std::vector<std::filesystem::path> kubepods_candidates(const std::string& own_memberships);

// Directories of this pod's cgroup that exist. A uid that is no plain name has none.
std::vector<std::filesystem::path> pod_cgroups(const CgroupTree& tree, const std::string& uid);

struct PodProcess {
  int pid = 0;
  uint64_t started = 0;  // clock ticks since the boot
  Fd directory;          // of /proc/PID: this process and no other
  std::string program;   // the first word of its command line
};
// Oldest first: the first is the sandbox's own (pause), where the runtime has one. Empty: there is none.
std::vector<PodProcess> pod_processes(const CgroupTree& tree, const std::string& uid,
                                      const std::filesystem::path& proc);

}  // namespace weir::agent

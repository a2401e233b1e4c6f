#pragma once
// What the command line says, in the words of redirect/ and enrol/: for the running agent, and for uninstall, which
// must find what an agent of the same options has left. Thread: any; values.
#include "agent/enrol/cni_install.h"
#include "agent/enrol/netns_finder.h"
#include "agent/options.h"
#include "agent/redirect/redirect.h"

namespace weir::agent {

NetnsFinder::Options finder_options(const AgentOptions& options);
// `finder` outlives what is opened with it.
RedirectOptions redirect_options(const AgentOptions& options, const NetnsFinder& finder);
CniInstall::Options cni_install_options(const AgentOptions& options);

// In a container: sees cgroups as the node's first process does, with this and every later thread. Before any other.
Status join_node_cgroup_namespace(const AgentOptions& options);

// Whether `keeper` is the weir-keep that started `pid`: it shares that one's cgroup, and makes no socket in it.
bool is_keeper_of(int keeper, int pid);

}  // namespace weir::agent

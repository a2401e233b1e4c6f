// What Weir leaves in the kernel, and reading it back: a pod's namespace as text, an agent's programs and maps as ids.
//
// Pure observation, used to compare before with after. Thread: the test's.
#pragma once

#include <cstdint>
#include <set>
#include <string>

#include "tests/bpf/rig.h"

namespace weir::test {

// Everything a pod's namespace has that Weir touches.
std::string trace_of(const TestPod& pod);

struct KernelObjects {
  std::set<uint32_t> programs;
  std::set<uint32_t> maps;
};
// Of what the agent named "agent" has pinned.
KernelObjects objects_of(const Rig& rig);
bool all_gone(const KernelObjects& objects);

// The failing checks of a pod, or nothing.
std::string faults(agent::Redirect& redirect, const TestPod& pod);

// The next connection of any of these listeners.
std::optional<Fd> accept_any(const std::vector<int>& group);

}  // namespace weir::test

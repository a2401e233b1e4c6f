// cgroup v2: ids as BPF programs see them, and where Kubernetes keeps its pods.
//
// Stateless functions, beside cgroup_of_pid of redirect.h. Thread: any.
#pragma once

#include <cstdint>
#include <filesystem>

#include "agent/redirect/redirect.h"

namespace weir::agent::redirect {

// Fails when the path is not a cgroup v2 directory.
Result<uint64_t> cgroup_id(const std::filesystem::path& path);
// Ids are not reused during a boot, so an id that does not exist never will again.
bool cgroup_exists(const std::filesystem::path& root, uint64_t id);

struct PodsCgroup {
  uint64_t id = 0;     // 0: there is none
  uint32_t level = 0;  // depth below the root
};
// `configured` empty: looks where kubelet's two cgroup drivers put it.
Result<PodsCgroup> find_pods_cgroup(const std::filesystem::path& root,
                                    const std::filesystem::path& configured);

}  // namespace weir::agent::redirect

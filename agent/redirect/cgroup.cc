// Reads /proc and the cgroup v2 tree. An id is the inode number of kernfs, which is also a file handle: that is how
// a dead id is told from a living one without walking the tree.
#include "agent/redirect/cgroup.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>

#include "nodeproxy/base/fd.h"

namespace weir::agent {
namespace redirect {

namespace fs = std::filesystem;

Result<uint64_t> cgroup_id(const fs::path& path) {
  struct statfs kind{};
  if (::statfs(path.c_str(), &kind) < 0)
    return fail_errno(Source::kernel, "no cgroup " + path.string(), errno);
  if (kind.f_type != CGROUP2_SUPER_MAGIC)
    return fail(Source::config, Reason::bad_config, path.string() + " is not on a cgroup v2 mount");
  struct stat status{};
  if (::stat(path.c_str(), &status) < 0)
    return fail_errno(Source::kernel, "no cgroup " + path.string(), errno);
  return status.st_ino;  // kernfs: the inode number is the id that BPF sees
}

bool cgroup_exists(const fs::path& root, uint64_t id) {
  Fd mount(::open(root.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!mount) return false;
  constexpr int fileid_kernfs = 0xfe;
  alignas(file_handle) std::array<char, sizeof(file_handle) + sizeof(id)> bytes{};
  auto* handle = reinterpret_cast<file_handle*>(bytes.data());
  handle->handle_bytes = sizeof(id);
  handle->handle_type = fileid_kernfs;
  std::memcpy(handle->f_handle, &id, sizeof(id));
  Fd found(::open_by_handle_at(mount.get(), handle, O_PATH | O_CLOEXEC));
  return static_cast<bool>(found);
}

Result<PodsCgroup> find_pods_cgroup(const fs::path& root, const fs::path& configured) {
  std::vector<fs::path> candidates = {root / "kubepods.slice", root / "kubepods",
                                      root / "kubelet.slice/kubelet-kubepods.slice",
                                      root / "kubelet/kubepods"};
  if (!configured.empty()) candidates = {configured};
  for (const fs::path& candidate : candidates) {
    auto id = cgroup_id(candidate);
    if (!id && !configured.empty()) return std::unexpected(id.error());
    if (!id) continue;
    fs::path below = fs::relative(candidate, root);
    return PodsCgroup{*id, static_cast<uint32_t>(std::distance(below.begin(), below.end()))};
  }
  return PodsCgroup{};
}

}  // namespace redirect

std::expected<CgroupInfo, Error> cgroup_of_pid(int pid, const std::filesystem::path& cgroup_root) {
  std::ifstream memberships("/proc/" + std::to_string(pid) + "/cgroup");
  std::string line;
  while (std::getline(memberships, line) && !line.starts_with("0::")) {
  }
  if (!line.starts_with("0::"))
    return fail(Source::kernel, Reason::io, "process " + std::to_string(pid) + " has no cgroup v2", ESRCH);
  CgroupInfo info{.id = 0, .path = line.substr(3), .other_pids = {}};
  std::filesystem::path directory = cgroup_root / info.path.substr(1);
  auto id = redirect::cgroup_id(directory);
  if (!id) return std::unexpected(id.error());
  info.id = *id;
  std::ifstream members(directory / "cgroup.procs");
  for (int other; members >> other;)
    if (other != pid) info.other_pids.push_back(other);
  return info;
}

}  // namespace weir::agent

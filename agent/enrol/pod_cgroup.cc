// Paths, cgroup.procs and /proc/PID/stat. See pod_cgroup.h.
#include "agent/enrol/pod_cgroup.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <fstream>
#include <set>
#include <sstream>

namespace weir::agent {
namespace {

namespace fs = std::filesystem;

constexpr int kDepthMax = 8;  // of the runtime's cgroups below a pod's
constexpr std::string_view kSlice = ".slice";

bool plain(const std::string& uid) {
  return !uid.empty() && uid.size() <= 63 &&
         std::ranges::all_of(uid, [](unsigned char c) { return std::isalnum(c) || c == '-'; });
}

bool is_kubepods(const std::string& component) {
  return component == "kubepods" || component == "kubepods.slice" || component.ends_with("-kubepods.slice");
}

// Below one kubepods directory, both drivers' forms.
std::vector<fs::path> forms(const fs::path& kubepods, const std::string& uid) {
  std::vector<fs::path> out;
  const std::string name = kubepods.filename();
  for (const std::string quality : {"", "burstable", "besteffort"}) {
    if (!name.ends_with(kSlice)) {
      out.push_back(kubepods / quality / ("pod" + uid));
      continue;
    }
    // systemd: a slice's name repeats those above it, and a dash within a part would be one more level.
    std::string escaped = uid;
    std::ranges::replace(escaped, '-', '_');
    std::string stem = name.substr(0, name.size() - kSlice.size());
    fs::path directory = kubepods;
    if (!quality.empty()) {
      stem += "-" + quality;
      directory /= stem + std::string(kSlice);
    }
    out.push_back(directory / stem.append("-pod").append(escaped).append(kSlice));
  }
  return out;
}

void collect(const fs::path& cgroup, int depth, std::set<int>& into) {
  std::ifstream members(cgroup / "cgroup.procs");
  for (int pid = 0; members >> pid;) {
    if (pid > 0) into.insert(pid);  // 0: of a pid namespace that this process does not see
  }
  if (depth >= kDepthMax) return;
  std::error_code error;
  for (auto entry = fs::directory_iterator(cgroup, error); !error && entry != fs::directory_iterator();
       entry.increment(error)) {
    std::error_code none;
    if (entry->is_directory(none) && !entry->is_symlink(none)) collect(entry->path(), depth + 1, into);
  }
}

std::set<int> members(const std::vector<fs::path>& cgroups) {
  std::set<int> pids;
  for (const auto& cgroup : cgroups) collect(cgroup, 0, pids);
  return pids;
}

std::string read_at(int directory, const char* name) {
  const Fd fd(::openat(directory, name, O_RDONLY | O_CLOEXEC));
  std::string text(4096, '\0');
  const ssize_t got = fd ? ::read(fd.get(), text.data(), text.size()) : 0;
  text.resize(got > 0 ? static_cast<size_t>(got) : 0);
  return text;
}

// Field 22 of /proc/PID/stat; the second, the name, may hold anything, so counting starts after its last parenthesis.
uint64_t start_time(const std::string& stat) {
  const size_t name_end = stat.rfind(')');
  if (name_end == std::string::npos) return 0;
  std::istringstream fields(stat.substr(name_end + 1));
  std::string field;
  for (int number = 3; number < 22; ++number) fields >> field;
  uint64_t started = 0;
  fields >> started;
  return fields ? started : 0;
}

}  // namespace

std::vector<fs::path> hierarchies_beside(const fs::path& cgroup_root) {
  std::vector<fs::path> out = {cgroup_root};
  std::error_code error;
  for (auto entry = fs::directory_iterator(cgroup_root.parent_path(), error);
       !error && entry != fs::directory_iterator(); entry.increment(error)) {
    std::error_code none;
    // A symbolic link (cpu → cpu,cpuacct) is the same hierarchy once more.
    if (entry->is_symlink(none) || fs::equivalent(entry->path(), cgroup_root, none)) continue;
    if (fs::exists(entry->path() / "cgroup.procs", none)) out.push_back(entry->path());
  }
  std::ranges::sort(out.begin() + 1, out.end());
  return out;
}

std::vector<fs::path> kubepods_candidates(const std::string& own_memberships) {
  std::vector<fs::path> out;
  const auto add = [&](const fs::path& path) {
    if (std::ranges::find(out, path) == out.end()) out.push_back(path);
  };
  std::istringstream lines(own_memberships);
  for (std::string line; std::getline(lines, line);) {  // "4:memory:/kubepods/burstable/pod…"
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    fs::path so_far;
    for (const auto& component : fs::path(line.substr(second + 1)).relative_path()) {
      if (component == "..") break;  // seen from a cgroup namespace that does not hold it
      so_far /= component;
      if (!is_kubepods(component)) continue;
      add(so_far);
      break;
    }
  }
  for (const char* usual :
       {"kubepods.slice", "kubepods", "kubelet.slice/kubelet-kubepods.slice", "kubelet/kubepods"}) {
    add(usual);
  }
  return out;
}

std::vector<fs::path> pod_cgroups(const CgroupTree& tree, const std::string& uid) {
  std::vector<fs::path> out;
  if (!plain(uid)) return out;
  for (const auto& hierarchy : tree.hierarchies) {
    for (const auto& kubepods : tree.kubepods) {
      for (auto& form : forms(hierarchy / kubepods, uid)) {
        std::error_code none;
        if (fs::is_directory(form, none)) out.push_back(std::move(form));
      }
    }
  }
  return out;
}

std::vector<PodProcess> pod_processes(const CgroupTree& tree, const std::string& uid, const fs::path& proc) {
  const auto cgroups = pod_cgroups(tree, uid);
  std::vector<PodProcess> held;
  for (const int pid : members(cgroups)) {
    PodProcess process;
    process.pid = pid;
    process.directory = Fd(::open((proc / std::to_string(pid)).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (process.directory) held.push_back(std::move(process));
  }
  const auto still = members(cgroups);
  std::erase_if(held, [&](const PodProcess& process) { return !still.contains(process.pid); });
  for (PodProcess& process : held) {
    process.started = start_time(read_at(process.directory.get(), "stat"));
    const std::string command = read_at(process.directory.get(), "cmdline");
    process.program = command.substr(0, command.find('\0'));
  }
  std::erase_if(held, [](const PodProcess& process) { return process.started == 0; });
  std::ranges::sort(held, {},
                    [](const PodProcess& process) { return std::pair(process.started, process.pid); });
  return held;
}

}  // namespace weir::agent

// Files, mounts and two system calls. See node_facts.h.
#include "agent/cli/node_facts.h"

#include <linux/bpf.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "nodeproxy/base/fd.h"

namespace weir::agent {
namespace {

namespace fs = std::filesystem;

// linux/magic.h
constexpr long kBpfFsMagic = 0xcafe4a11;
constexpr long kCgroup2Magic = 0x63677270;
// struct io_uring_params of linux/io_uring.h is 120 bytes; all zero: a plain ring.
constexpr size_t kRingParamsBytes = 120;

std::string read_file(const fs::path& path) {
  std::ifstream in(path);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

bool is_of(const std::string& path, long magic) {
  struct statfs found{};
  return ::statfs(path.c_str(), &found) == 0 && static_cast<long>(found.f_type) == magic;
}

// "36 35 0:31 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw" (proc_pid_mountinfo(5)).
std::string find_cgroup2() {
  std::istringstream lines(read_file("/proc/self/mountinfo"));
  for (std::string line; std::getline(lines, line);) {
    if (line.find(" - cgroup2 ") == std::string::npos) continue;
    std::istringstream words(line);
    std::string word;
    for (int i = 0; i < 5; ++i) words >> word;
    return word;
  }
  return {};
}

int try_bpf() {
  union bpf_attr attributes{};
  attributes.map_type = BPF_MAP_TYPE_ARRAY;
  attributes.key_size = 4;
  attributes.value_size = 4;
  attributes.max_entries = 1;
  const Fd map(static_cast<int>(::syscall(SYS_bpf, BPF_MAP_CREATE, &attributes, sizeof(attributes))));
  return map ? 0 : errno;
}

int try_io_uring() {
  unsigned char params[kRingParamsBytes] = {};
  const Fd ring(static_cast<int>(::syscall(SYS_io_uring_setup, 1, params)));
  return ring ? 0 : errno;
}

// Runtimes take the first by name of what ends in .conf, .conflist or .json (libcni, ConfFiles).
void read_cni(const std::string& directory, NodeFacts& facts) {
  std::error_code error;
  facts.cni_dir = fs::is_directory(directory, error);
  if (!facts.cni_dir) return;
  for (const auto& entry : fs::directory_iterator(directory, error)) {
    const std::string extension = entry.path().extension();
    if (extension == ".conf" || extension == ".conflist" || extension == ".json") {
      facts.cni.push_back(entry.path().filename());
    }
  }
  std::ranges::sort(facts.cni);
  if (facts.cni.empty()) return;
  facts.weir_cni =
      read_file(fs::path(directory) / facts.cni.front()).find("\"weir-cni\"") != std::string::npos;
}

}  // namespace

NodeFacts read_node_facts(const NodePlaces& places, std::string driver) {
  NodeFacts facts;
  struct utsname name{};
  if (::uname(&name) == 0) facts.kernel = name.release;
  facts.btf = ::access("/sys/kernel/btf/vmlinux", R_OK) == 0;
  facts.bpffs = is_of("/sys/fs/bpf", kBpfFsMagic);
  facts.bpf_errno = try_bpf();
  if (places.cgroup_root.empty()) {
    facts.cgroup2 = find_cgroup2();
  } else if (is_of(places.cgroup_root, kCgroup2Magic)) {
    facts.cgroup2 = places.cgroup_root;
  }
  facts.driver = std::move(driver);
  facts.io_uring_errno = try_io_uring();
  const std::string disabled = read_file("/proc/sys/kernel/io_uring_disabled");
  if (!disabled.empty()) facts.io_uring_disabled = disabled[0] - '0';
  read_cni(places.cni_dir, facts);
  return facts;
}

}  // namespace weir::agent

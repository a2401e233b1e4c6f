// The three ways, and the checks that all must pass. See netns_finder.h.
#include "agent/enrol/netns_finder.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <set>

#include "agent/redirect/netns.h"
#include "nodeproxy/base/ip.h"

namespace weir::agent {
namespace {

namespace fs = std::filesystem;

// Not there yet, perhaps: trying again may help.
std::unexpected<Error> not_yet(std::string why) { return fail(Source::agent, Reason::io, std::move(why)); }
std::unexpected<Error> never(std::string why) {
  return fail(Source::agent, Reason::bad_config, std::move(why));
}

Result<FoundNetns> opened(const fs::path& path, Fd fd) {
  struct stat status{};
  if (::fstat(fd.get(), &status) != 0) return fail_errno(Source::kernel, path.string(), errno);
  return FoundNetns{path, std::move(fd), {status.st_dev, status.st_ino}};
}

std::string lower(std::string text) {
  std::ranges::transform(text, text.begin(), [](unsigned char c) { return std::tolower(c); });
  return text;
}

// `path` as a process whose root is `root` sees it. Left to the kernel, a link to an absolute path (/var/run → /run on most
// systems) would lead back to our own root.
fs::path below(const fs::path& root, const fs::path& path) {
  constexpr int kLinksMax = 40;  // as the kernel has it
  fs::path done, left = path.relative_path();
  for (int links = 0; !left.empty();) {
    const fs::path first = *left.begin();
    fs::path rest;
    for (auto part = std::next(left.begin()); part != left.end(); ++part) rest /= *part;
    std::error_code no_link;
    const fs::path target = fs::read_symlink(root / done / first, no_link);
    const bool names_no_path = target.native().find(":[") != std::string::npos;  // /proc/PID/ns/net → net:[1]
    if (no_link || names_no_path || ++links > kLinksMax) {
      done = first == ".." ? done.parent_path() : done / first;
      left = rest;
    } else {
      if (target.is_absolute()) done.clear();
      left = target.relative_path() / rest;
    }
  }
  return root / done;
}

}  // namespace

bool NetnsFinder::is_sandbox(const std::string& runtime_class) {
  const std::string name = lower(runtime_class);
  return std::ranges::any_of(std::initializer_list<const char*>{"gvisor", "runsc", "kata"},
                             [&](const char* word) { return name.find(word) != std::string::npos; });
}

bool NetnsFinder::is_sandbox_program(const std::string& program) {
  const std::string name = fs::path(program).filename();
  return std::ranges::any_of(std::initializer_list<const char*>{"runsc", "qemu-system", "cloud-hypervisor",
                                                                "firecracker", "containerd-shim-kata"},
                             [&](const char* word) { return name.starts_with(word); });
}

void NetnsFinder::give(const std::string& uid, const std::string& host_path) { given_[uid] = host_path; }

// By way of the node's first process, so that what the node has mounted since this one started is there as well. Where
// runtime and agent share a file system of their own, as it is.
fs::path NetnsFinder::given(const std::string& uid) const {
  const auto found = given_.find(uid);
  if (found == given_.end()) return {};
  const fs::path as_said = found->second;
  auto by_node = below(options_.host_proc / "1/root", as_said);
  return !namespace_id(by_node) && namespace_id(as_said) ? as_said : by_node;
}

Result<FoundNetns> NetnsFinder::find(const LocalPodSpec& pod, const fs::path& known) const {
  if (!pod.netns.empty() && !options_.netns_dir.empty()) return by_annotation(pod);
  if (is_sandbox(pod.runtime_class)) {
    return never(
        fmt::format("refused: runtime class {} keeps its sockets from the node's kernel, which cannot "
                    "capture them (label the pod {}: disabled)",
                    pod.runtime_class, kMeshLabel));
  }
  if (const auto path = given(pod.uid); !path.empty()) {
    auto found = by_path(path, pod);
    if (found) found->starting = true;
    return found;
  }
  // A path that the plugin told an earlier agent. One by a process's number may be another's by now.
  if (!known.empty() && !known.string().ends_with("/ns/net")) {
    if (auto found = by_path(known, pod)) return found;
  }
  return by_cgroup(pod);
}

Result<FoundNetns> NetnsFinder::by_annotation(const LocalPodSpec& pod) const {
  if (pod.netns.find('/') != std::string::npos || pod.netns == "." || pod.netns == "..") {
    return not_yet(fmt::format("annotation {}: {} is no name", kNetnsAnnotation, pod.netns));
  }
  const auto path = options_.netns_dir / pod.netns;
  const auto id = namespace_id(path);
  Fd fd(id ? ::open(path.c_str(), O_RDONLY | O_CLOEXEC) : -1);
  if (!fd) return not_yet(fmt::format("network namespace {} is not there (yet)", path.string()));
  FoundNetns found{path, std::move(fd), *id, false, true};
  // The name may be another's by now: of a pod that has come since, and whose object is not read yet.
  if (auto ok = belongs(found, pod); !ok) return std::unexpected(ok.error());
  return found;
}

Result<FoundNetns> NetnsFinder::by_path(const fs::path& path, const LocalPodSpec& pod) const {
  auto fd = redirect::open_netns(path);
  if (!fd) return std::unexpected(fd.error());
  auto found = opened(path, std::move(*fd));
  if (!found) return found;
  if (auto ok = belongs(*found, pod); !ok) return std::unexpected(ok.error());
  return found;
}

Result<FoundNetns> NetnsFinder::by_cgroup(const LocalPodSpec& pod) const {
  const auto processes = pod_processes(options_.cgroups, pod.cgroup_uid, options_.host_proc);
  if (processes.empty()) {
    return not_yet(
        fmt::format("no process of it on this node's kernel: no cgroup of uid '{}', no annotation {}",
                    pod.cgroup_uid, kNetnsAnnotation));
  }
  // Only where somebody chose a runtime: else a container could call itself so and stay out of the mesh.
  if (!pod.runtime_class.empty() && is_sandbox_program(processes.front().program)) {
    return never(
        fmt::format("refused: runtime class {} runs it in a sandbox ({}), whose sockets are not the node "
                    "kernel's (label the pod {}: disabled)",
                    pod.runtime_class, processes.front().program, kMeshLabel));
  }
  std::set<NamespaceId> seen;
  Status why;
  for (const auto& process : processes) {
    Fd fd(::openat(process.directory.get(), "ns/net", O_RDONLY | O_CLOEXEC));
    if (!fd) {
      if (why)
        why = fail_errno(Source::kernel, fmt::format("the network namespace of process {}", process.pid),
                         errno);
      continue;
    }
    auto found = opened(options_.host_proc / std::to_string(process.pid) / "ns/net", std::move(fd));
    if (!found) return found;
    if (!seen.insert(found->id).second) continue;
    auto ok = belongs(*found, pod);
    if (ok) return found;
    if (why) why = std::move(ok);
  }
  return std::unexpected(why.error());
}

Status NetnsFinder::belongs(const FoundNetns& found, const LocalPodSpec& pod) const {
  for (const char* own : {"1/ns/net", "self/ns/net"}) {
    if (namespace_id(options_.host_proc / own) == found.id) {
      return not_yet("its processes are in the node's own network namespace");
    }
  }
  const auto inside = look_inside(found.fd.get());
  if (!inside) return std::unexpected(inside.error());
  for (const auto& text : pod.addresses) {
    const auto address = Ip::parse(text);
    if (address && inside->addresses.contains(*address)) continue;
    return not_yet(
        fmt::format("its network namespace does not own its address {}: it is another, or the pod runs in "
                    "a sandbox with a network stack of its own",
                    text));
  }
  for (const auto& link : inside->links) {
    if (link.starts_with("tap") && link.ends_with("_kata")) {
      return never(
          fmt::format("refused: it runs in a virtual machine (Kata), whose sockets are not the node kernel's "
                      "(label the pod {}: disabled)",
                      kMeshLabel));
    }
  }
  return {};
}

}  // namespace weir::agent

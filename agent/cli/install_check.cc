// The words of findings, and what is judged of one node. See install_check.h.
#include "agent/cli/install_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "agent/cli/members.h"
#include "agent/cli/report.h"

namespace weir::agent {
namespace {

using Json = nlohmann::json;

constexpr VersionNumber kKernelMin{6, 1};      // io_uring as the proxy uses it; before, epoll
constexpr VersionNumber kKernelBpfMin{5, 17};  // the programs of the capture

const char* word(Level level) {
  switch (level) {
    case Level::warn: return "warn";
    case Level::fail: return "FAIL";
    case Level::ok: break;
  }
  return "ok";
}

Finding judge_bpf(const NodeFacts& facts) {
  if (facts.bpf_errno == ENOSYS) {
    return {Level::fail, "BPF", "the kernel has no bpf()", "use a kernel with CONFIG_BPF_SYSCALL", {}};
  }
  if (facts.bpf_errno == EPERM) {
    return {
        Level::warn, "BPF", "not tested: that takes root", "run it as root, or on a node with an agent", {}};
  }
  if (facts.bpf_errno != 0) {
    return {Level::fail,
            "BPF",
            std::string("a map cannot be made: ") + std::strerror(facts.bpf_errno),
            "look at the kernel's log",
            {}};
  }
  if (!facts.bpffs) {
    return {Level::fail, "BPF", "no BPF file system is at /sys/fs/bpf", "mount -t bpf bpf /sys/fs/bpf", {}};
  }
  return {Level::ok, "BPF", "maps can be made, and /sys/fs/bpf is mounted", {}, {}};
}

Finding judge_io_uring(const NodeFacts& facts) {
  if (!facts.driver.empty()) {
    return {Level::ok, "io_uring", "the running proxy uses " + facts.driver, {}, {}};
  }
  if (facts.io_uring_disabled == 2) {
    return {Level::warn,
            "io_uring",
            "kernel.io_uring_disabled is 2: the proxy will use epoll",
            "sysctl -w kernel.io_uring_disabled=0",
            {}};
  }
  if (facts.io_uring_errno == ENOSYS) {
    return {Level::warn,
            "io_uring",
            "the kernel has none: the proxy will use epoll",
            "use a kernel with CONFIG_IO_URING",
            {}};
  }
  if (facts.io_uring_errno != 0) {
    return {Level::warn,
            "io_uring",
            std::string("a ring cannot be made here: ") + std::strerror(facts.io_uring_errno),
            "a seccomp profile may forbid it to this process; the chart's profile allows it to the proxy",
            {}};
  }
  return {Level::ok, "io_uring", "a ring can be made", {}, {}};
}

Finding judge_cni_files(const NodeFacts& facts) {
  if (!facts.cni_dir) {
    return {Level::warn,
            "CNI",
            "no directory of CNI configurations is here",
            "on a node of Kubernetes: name it with --cni-dir",
            {}};
  }
  if (facts.cni.empty()) {
    return {Level::fail, "CNI", "there is no CNI configuration", "install a CNI plugin first", {}};
  }
  const std::string first = "the first configuration is " + visible(facts.cni.front());
  if (facts.weir_cni) return {Level::ok, "CNI", first + ", with Weir's plugin", {}, {}};
  if (!facts.cni.front().ends_with(".conflist")) {
    return {Level::warn,
            "CNI",
            first + ", which is no list",
            "Weir chains its plugin to a .conflist: use one, if your CNI offers it",
            {}};
  }
  return {Level::ok, "CNI", first, {}, {}};
}

}  // namespace

VersionNumber version_number(const std::string& text) {
  VersionNumber out;
  const char* digits = text.c_str() + (text.starts_with('v') ? 1 : 0);
  if (std::sscanf(digits, "%5d.%5d", &out.major, &out.minor) != 2) return {};
  return out;
}

Finding judge_kernel(const std::string& release) {
  const VersionNumber version = version_number(release);
  const std::string said = visible(release);
  if (version.major < 0)
    return {Level::warn, "kernel", said + ": not understood", "Weir needs 6.1 or newer", {}};
  if (version >= kKernelMin) return {Level::ok, "kernel", said, {}, {}};
  if (version < kKernelBpfMin)
    return {
        Level::fail, "kernel", said + ": BPF needs 5.17 or newer", "upgrade the node to 6.1 or newer", {}};
  return {Level::warn,
          "kernel",
          said + ": io_uring needs 6.1 or newer, the proxy will use epoll",
          "upgrade the node to 6.1 or newer",
          {}};
}

std::vector<Finding> judge_node(const NodeFacts& facts) {
  std::vector<Finding> out{judge_kernel(facts.kernel)};
  if (facts.btf) {
    out.push_back({Level::ok, "BTF", "/sys/kernel/btf/vmlinux", {}, {}});
  } else {
    out.push_back({Level::fail,
                   "BTF",
                   "there is no /sys/kernel/btf/vmlinux",
                   "use a kernel with CONFIG_DEBUG_INFO_BTF",
                   {}});
  }
  out.push_back(judge_bpf(facts));
  if (facts.cgroup2.empty()) {
    out.push_back({Level::fail,
                   "cgroup v2",
                   "it is not mounted",
                   "boot with systemd.unified_cgroup_hierarchy=1, or name it with --cgroup-root",
                   {}});
  } else {
    out.push_back({Level::ok, "cgroup v2", facts.cgroup2, {}, {}});
  }
  out.push_back(judge_io_uring(facts));
  out.push_back(judge_cni_files(facts));
  return out;
}

bool any_failed(const std::vector<Finding>& findings) {
  return std::ranges::find(findings, Level::fail, &Finding::level) != findings.end();
}

std::string findings_text(const std::vector<Finding>& findings) {
  std::vector<std::vector<std::string>> rows;
  const bool nodes = std::ranges::any_of(findings, [](const auto& one) { return !one.node.empty(); });
  size_t failures = 0, warnings = 0;
  for (const Finding& one : findings) {
    failures += one.level == Level::fail ? 1 : 0;
    warnings += one.level == Level::warn ? 1 : 0;
    std::vector<std::string> row{word(one.level)};
    if (nodes) row.push_back(one.node.empty() ? "cluster" : one.node);
    row.push_back(one.about);
    row.push_back(one.said + (one.todo.empty() ? "" : "; " + one.todo));
    rows.push_back(std::move(row));
  }
  std::string out = table(rows) + "\n";
  if (failures == 0 && warnings == 0) return out + "everything that Weir needs is there\n";
  return out + fmt::format("{} to mend, {} to know of\n", failures, warnings);
}

Json findings_json(const std::vector<Finding>& findings) {
  Json checks = Json::array();
  for (const Finding& one : findings) {
    Json check{{"level", one.level == Level::fail ? "fail" : word(one.level)},
               {"about", one.about},
               {"said", one.said},
               {"todo", one.todo}};
    if (!one.node.empty()) check["node"] = one.node;
    checks.push_back(std::move(check));
  }
  return {{"ok", !any_failed(findings)}, {"checks", std::move(checks)}};
}

std::vector<Finding> findings_of(const Json& answer, const std::string& node) {
  std::vector<Finding> out;
  for (const Json& check : list_of(answer, "checks")) {
    const std::string level = text_of(check, "level");
    out.push_back({level == "ok"     ? Level::ok
                   : level == "warn" ? Level::warn
                                     : Level::fail,
                   text_of(check, "about"), text_of(check, "said", ""), text_of(check, "todo", ""), node});
  }
  return out;
}

}  // namespace weir::agent

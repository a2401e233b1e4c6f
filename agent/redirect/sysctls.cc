// /proc/sys/net of the calling thread's namespace.
#include "agent/redirect/sysctls.h"

#include <fcntl.h>
#include <sys/mount.h>

#include <array>
#include <cerrno>

#include "nodeproxy/base/fd.h"

namespace weir::agent::redirect {
namespace {

constexpr std::array names = {"net/ipv4/tcp_fwmark_accept", "net/ipv4/fwmark_reflect",
                              "net/ipv6/fwmark_reflect", "net/ipv4/tcp_migrate_req", "net/ipv4/tcp_tw_reuse"};
constexpr const char* wanted = "1";
constexpr std::string_view kReuse = "net/ipv4/tcp_tw_reuse", kReuseOverLoopback = "2";

std::string path_of(const std::string& name) { return "/proc/sys/" + name; }

Result<std::string> read(const std::string& name) {
  Fd fd(::open(path_of(name).c_str(), O_RDONLY | O_CLOEXEC));
  std::array<char, 64> text;
  ssize_t bytes = fd ? ::read(fd.get(), text.data(), text.size()) : -1;
  if (bytes < 0) return fail_errno(Source::kernel, "cannot read sysctl " + name, errno);
  std::string value(text.data(), static_cast<size_t>(bytes));
  while (!value.empty() && (value.back() == '\n' || value.back() == ' ')) value.pop_back();
  return value;
}

// A container that is not privileged sees /proc/sys read-only: that is how its runtime mounted it. Another proc, mounted
// nowhere, is not; CAP_SYS_ADMIN may make one (fsopen(2)).
Fd open_to_write(const std::string& name) {
  Fd fd(::open(path_of(name).c_str(), O_WRONLY | O_CLOEXEC));
  if (fd || errno != EROFS) return fd;
  const Fd context(::fsopen("proc", FSOPEN_CLOEXEC));
  if (!context || ::fsconfig(context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0) return {};
  const Fd proc(::fsmount(context.get(), FSMOUNT_CLOEXEC, 0));
  if (!proc) return {};
  return Fd(::openat(proc.get(), ("sys/" + name).c_str(), O_WRONLY | O_CLOEXEC));
}

Status write(const std::string& name, const std::string& value) {
  Fd fd = open_to_write(name);
  if (!fd || ::write(fd.get(), value.data(), value.size()) < 0)
    return fail_errno(Source::kernel, "cannot set sysctl " + name, errno);
  return {};
}

}  // namespace

Result<std::vector<SavedSysctl>> read_sysctls() {
  std::vector<SavedSysctl> saved;
  for (const char* name : names) {
    auto value = read(name);
    if (!value && value.error().os_code == ENOENT && std::string_view(name).starts_with("net/ipv6/"))
      continue;
    if (!value) return std::unexpected(value.error());
    if (name == kReuse && *value != kReuseOverLoopback) continue;
    saved.push_back({name, *value});
  }
  return saved;
}

Status apply_sysctls(std::span<const SavedSysctl> saved) {
  for (const SavedSysctl& one : saved)
    if (Status status = write(one.name, wanted); !status) return status;
  return {};
}

Status restore_sysctls(std::span<const SavedSysctl> saved) {
  for (const SavedSysctl& one : saved) {
    auto now = read(one.name);
    if (!now) return std::unexpected(now.error());
    if (*now != wanted || *now == one.value) continue;
    if (Status status = write(one.name, one.value); !status) return status;
  }
  return {};
}

Result<std::vector<std::string>> wrong_sysctls(std::span<const SavedSysctl> saved) {
  std::vector<std::string> wrong;
  for (const SavedSysctl& one : saved) {
    auto now = read(one.name);
    if (!now) return std::unexpected(now.error());
    if (*now != wanted) wrong.push_back(one.name + " is " + *now);
  }
  return wrong;
}

}  // namespace weir::agent::redirect

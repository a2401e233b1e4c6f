// Opening namespaces and reading their two names: the cookie (never reused during a boot, what programs compare) and
// the inode (what links report).
#include "agent/redirect/netns.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <cerrno>

namespace weir::agent::redirect {

Result<Fd> open_netns(const std::filesystem::path& path) {
  Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return fail_errno(Source::kernel, "cannot open network namespace " + path.string(), errno);
  struct statfs fs{};
  if (::fstatfs(fd.get(), &fs) < 0 || fs.f_type != NSFS_MAGIC ||
      ::ioctl(fd.get(), NS_GET_NSTYPE) != CLONE_NEWNET)
    return fail(Source::config, Reason::bad_config, path.string() + " is not a network namespace");
  return fd;
}

Result<Fd> duplicate_netns(int netns_fd) {
  Fd fd(::fcntl(netns_fd, F_DUPFD_CLOEXEC, 0));
  if (!fd) return fail_errno(Source::kernel, "a descriptor of a network namespace", errno);
  return fd;
}

Status enter_netns(int netns_fd) {
  if (::setns(netns_fd, CLONE_NEWNET) < 0)
    return fail_errno(Source::kernel, "cannot enter the pod's network namespace", errno);
  return {};
}

Result<uint64_t> own_netns_cookie() {
  Fd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  uint64_t cookie = 0;
  socklen_t length = sizeof(cookie);
  if (!probe || ::getsockopt(probe.get(), SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &length) < 0)
    return fail_errno(Source::kernel, "cannot read SO_NETNS_COOKIE", errno);
  return cookie;
}

Result<uint64_t> netns_cookie(int netns_fd) {
  return in_netns(netns_fd, [] { return own_netns_cookie(); });
}

Result<uint32_t> netns_inode(int netns_fd) {
  struct stat status{};
  if (::fstat(netns_fd, &status) < 0) return fail_errno(Source::kernel, "fstat of a namespace", errno);
  return static_cast<uint32_t>(status.st_ino);
}

}  // namespace weir::agent::redirect

// The choice of choose.h, and the words for it.
#include "nodeproxy/io/choose.h"

#include <fcntl.h>

#include <cerrno>
#include <cstring>

#include "nodeproxy/base/fd.h"
#include "nodeproxy/io/epoll.h"
#include "nodeproxy/io/uring.h"

namespace weir::io {
namespace {

// sysctl kernel.io_uring_disabled (Linux 6.6): '0' allowed, '1' to a group and to CAP_SYS_ADMIN, '2' to nobody.
char sysctl_disabled() {
  const Fd file(::open("/proc/sys/kernel/io_uring_disabled", O_RDONLY | O_CLOEXEC));
  char value = '0';
  if (!file || ::read(file.get(), &value, 1) != 1) return '0';
  return value;
}

// What io_uring_setup(2), io_uring_register(2) and io_uring_enter(2) mean by an error.
std::string in_words(const Error& error) {
  switch (error.os_code) {
    case ENOSYS: return "this kernel has no io_uring (ENOSYS)";
    case EPERM:
    case EACCES: {
      const char disabled = sysctl_disabled();
      if (disabled != '0') return std::string("kernel.io_uring_disabled is ") + disabled + " (EPERM)";
      return "io_uring is forbidden to this process, as seccomp profiles do (EPERM)";
    }
    case EINVAL: return "this kernel's io_uring is older than Linux 6.1 (EINVAL)";
    default: return std::string("no ring can be made: ") + std::strerror(error.os_code);
  }
}

}  // namespace

Result<ChosenDriver> choose_driver(DriverChoice choice) {
  ChosenDriver chosen;
  if (choice != DriverChoice::epoll) {
    auto uring = UringDriver::open({});
    if (uring) {
      chosen.driver = std::move(*uring);
      return chosen;
    }
    if (choice == DriverChoice::io_uring) return std::unexpected(uring.error());
    chosen.why_not_io_uring = in_words(uring.error());
  }
  auto epoll = EpollDriver::open({});
  if (!epoll) return std::unexpected(epoll.error());
  chosen.driver = std::move(*epoll);
  return chosen;
}

}  // namespace weir::io

// Which driver is chosen where io_uring is refused: by seccomp filters of child processes, so that nothing else on the
// machine notices. Each call that the ring needs is refused in turn, with each error that means something.
#include "nodeproxy/io/choose.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <catch2/catch.hpp>
#include <cerrno>
#include <cstddef>

namespace weir::io {
namespace {

// From now on, in this process, that system call fails with that errno.
bool refuse(int call, int os_code) {
  std::array<sock_filter, 4> filter{
      sock_filter BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      sock_filter BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<uint32_t>(call), 0, 1),
      sock_filter BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | static_cast<uint32_t>(os_code)),
      sock_filter BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
  const sock_fprog program{.len = filter.size(), .filter = filter.data()};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

// "NAME: WHY" of the driver that a child gets for which `call` fails so; "error" when it gets none.
std::string chosen_without(int call, int os_code, DriverChoice choice = DriverChoice::automatic) {
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  const pid_t child = ::fork();
  if (child == 0) {
    std::string said = "no filter";
    if (call < 0 || refuse(call, os_code)) {
      const auto chosen = choose_driver(choice);
      said = chosen ? std::string(chosen->driver->name()) + ": " + chosen->why_not_io_uring : "error";
    }
    const ssize_t written = ::write(ends[1], said.data(), said.size());
    ::_exit(written < 0);
  }
  ::close(ends[1]);
  std::string said;
  char part[256];
  for (ssize_t got; (got = ::read(ends[0], part, sizeof part)) > 0;)
    said.append(part, static_cast<size_t>(got));
  ::close(ends[0]);
  int status = -1;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(status == 0);
  return said;
}

constexpr const char* kForbidden =
    "epoll: io_uring is forbidden to this process, as seccomp profiles do (EPERM)";

}  // namespace

TEST_CASE("io_uring is chosen where it can be had") { CHECK(chosen_without(-1, 0) == "io_uring: "); }

TEST_CASE("epoll is chosen where io_uring is forbidden, whichever of its calls") {
  CHECK(chosen_without(SYS_io_uring_setup, EPERM) == kForbidden);
  CHECK(chosen_without(SYS_io_uring_register, EPERM) == kForbidden);
  CHECK(chosen_without(SYS_io_uring_enter, EPERM) == kForbidden);
}

TEST_CASE("epoll is chosen where the kernel has no io_uring, or an old one") {
  CHECK(chosen_without(SYS_io_uring_setup, ENOSYS) == "epoll: this kernel has no io_uring (ENOSYS)");
  CHECK(chosen_without(SYS_io_uring_setup, EINVAL) ==
        "epoll: this kernel's io_uring is older than Linux 6.1 (EINVAL)");
  CHECK(chosen_without(SYS_io_uring_register, EINVAL) ==
        "epoll: this kernel's io_uring is older than Linux 6.1 (EINVAL)");
}

TEST_CASE("what was asked for by name is had or not, and epoll by name is no failure of io_uring") {
  CHECK(chosen_without(SYS_io_uring_setup, EPERM, DriverChoice::io_uring) == "error");
  CHECK(chosen_without(-1, 0, DriverChoice::epoll) == "epoll: ");
}

}  // namespace weir::io

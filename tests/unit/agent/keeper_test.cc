// Who may share the proxy's cgroup: the weir-keep that started it. Processes are forks of this one, under other names.
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <csignal>
#include <string>

#include "agent/app_capture.h"

namespace weir::agent {
namespace {

struct Child {
  pid_t pid;
  Child() : pid(::fork()) {
    if (pid != 0) return;
    ::pause();
    ::_exit(0);
  }
  ~Child() {
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
  }
};

struct Named {
  char before[16] = {};
  explicit Named(const char* name) {
    ::prctl(PR_GET_NAME, before);
    ::prctl(PR_SET_NAME, name);
  }
  ~Named() { ::prctl(PR_SET_NAME, before); }
};

TEST_CASE("a process is the keeper of what it started, if it is weir-keep") {
  const Child kept, other;
  CHECK_FALSE(is_keeper_of(::getpid(), kept.pid));
  const Named name("weir-keep");
  CHECK(is_keeper_of(::getpid(), kept.pid));
  CHECK_FALSE(is_keeper_of(kept.pid, ::getpid()));
  CHECK_FALSE(is_keeper_of(other.pid, kept.pid));
}

TEST_CASE("a weir-keep that started another process is nobody's keeper here") {
  const Child kept;
  const Named name("weir-keep");
  const Child also;  // named so, and beside it
  CHECK_FALSE(is_keeper_of(also.pid, kept.pid));
  CHECK_FALSE(is_keeper_of(::getpid(), ::getppid()));
}

TEST_CASE("a name that holds a bracket and a number is not read as the parent") {
  const Named name("weir-keep");
  const Child keeper;
  const Named odd((") S " + std::to_string(keeper.pid) + " ").c_str());
  const Child stranger;
  CHECK_FALSE(is_keeper_of(keeper.pid, stranger.pid));
}

TEST_CASE("processes that are gone keep nobody") {
  pid_t gone = 0;
  {
    const Child child;
    gone = child.pid;
  }
  const Named name("weir-keep");
  CHECK_FALSE(is_keeper_of(::getpid(), gone));
  CHECK_FALSE(is_keeper_of(gone, ::getpid()));
}

}  // namespace
}  // namespace weir::agent

// The sysctls of a namespace, set and put back, and from where they can be set.
#include "agent/redirect/sysctls.h"

#include <sched.h>
#include <sys/mount.h>

#include <catch2/catch.hpp>
#include <string>
#include <thread>

using namespace weir;
using namespace weir::agent::redirect;

namespace {

// On a thread with a network and a mount namespace of its own, where /proc/sys is as a runtime mounts it in a container.
std::string in_a_container() {
  if (::unshare(CLONE_NEWNET | CLONE_NEWNS) != 0) return "unshare";
  if (::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return "mount /";
  if (::mount("/proc/sys", "/proc/sys", nullptr, MS_BIND, nullptr) != 0) return "bind /proc/sys";
  if (::mount("none", "/proc/sys", nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY, nullptr) != 0) return "remount";
  const auto before = read_sysctls();
  if (!before) return before.error().describe();
  if (const auto wrong = wrong_sysctls(*before); !wrong || wrong->size() != before->size())
    return "not as they begin";
  if (const Status ok = apply_sysctls(*before); !ok) return ok.error().describe();
  if (const auto wrong = wrong_sysctls(*before); !wrong || !wrong->empty()) return "not set";
  if (const Status ok = restore_sysctls(*before); !ok) return ok.error().describe();
  const auto after = read_sysctls();
  if (!after || after->size() != before->size()) return "not all there";
  for (size_t i = 0; i < after->size(); ++i) {
    if ((*after)[i].value != (*before)[i].value) return (*after)[i].name + " is not put back";
  }
  return "in order";
}

}  // namespace

TEST_CASE("sysctls are set and put back where /proc/sys is read-only, as in a container", "[sysctls]") {
  const auto outside = read_sysctls();
  REQUIRE(outside);
  std::string said;
  std::thread([&] { said = in_a_container(); }).join();
  CHECK(said == "in order");
  const auto after = read_sysctls();
  REQUIRE(after);
  for (size_t i = 0; i < outside->size(); ++i) CHECK((*after)[i].value == (*outside)[i].value);
}

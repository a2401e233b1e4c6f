// Whose turn it is to be a node's agent. The locks are of open files, so one process can play all the agents.
#include "agent/turn.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <catch2/catch.hpp>

namespace weir::agent {
namespace {

struct StateDir {
  std::filesystem::path path;
  StateDir() {
    std::string name = (std::filesystem::temp_directory_path() / "weir-turn-XXXXXX").string();
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    path = name;
    std::filesystem::create_directory(path / "redirect");
  }
  ~StateDir() { std::filesystem::remove_all(path); }
  // What the active agent holds while it has its state open.
  Fd active() const {
    Fd fd(::open((path / "redirect/lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    REQUIRE(::flock(fd.get(), LOCK_EX | LOCK_NB) == 0);
    return fd;
  }
};

TEST_CASE("a node is free while no agent holds its state") {
  const StateDir state;
  const Turn turn(state.path);
  CHECK(turn.is_free());
  {
    const Fd agent = state.active();
    CHECK_FALSE(turn.is_free());
  }
  CHECK(turn.is_free());
  CHECK(state.active());  // looking has taken nothing
}

TEST_CASE("who is asked for its place sees it, until the asker has it or is gone") {
  const StateDir state;
  const Turn old(state.path);
  CHECK_FALSE(old.is_asked());
  {
    Turn young(state.path);
    CHECK(young.ask());
    CHECK(young.ask());  // said again
    CHECK(old.is_asked());
    Turn third(state.path);
    CHECK_FALSE(third.ask());  // one after the other
    young.taken();
    CHECK_FALSE(old.is_asked());
    CHECK(third.ask());
  }
  CHECK_FALSE(old.is_asked());
}

TEST_CASE("a state directory that cannot be had counts as free, so that the start says what is wrong") {
  const Turn turn("/proc/no-such-directory");
  CHECK(turn.is_free());
  CHECK_FALSE(turn.is_asked());
}

}  // namespace
}  // namespace weir::agent

// The main loop's timers, descriptors and posts; directories that change; files that are whole or not there.
#include "agent/loop/loop.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <fstream>
#include <thread>

#include "agent/loop/files.h"
#include "agent/loop/watch.h"

using namespace weir;
using namespace weir::agent;
using std::chrono::milliseconds;

namespace {

struct Scratch {
  std::filesystem::path path;
  Scratch() {
    std::string name = (std::filesystem::temp_directory_path() / "weir-loop-XXXXXX").string();
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    path = name;
  }
  ~Scratch() { std::filesystem::remove_all(path); }
};

void turn(Loop& loop, int ms) {
  const auto end = Loop::Clock::now() + milliseconds(ms);
  while (Loop::Clock::now() < end) loop.run_once(milliseconds(5));
}

}  // namespace

TEST_CASE("timers run in their order, and a cancelled one does not") {
  Loop loop;
  std::string ran;
  loop.after(milliseconds(20), [&] { ran += "b"; });
  loop.after(milliseconds(1), [&] {
    ran += "a";
    loop.after(milliseconds(1), [&] { ran += "x"; });
  });
  const auto gone = loop.after(milliseconds(5), [&] { ran += "!"; });
  loop.cancel(gone);
  loop.cancel(gone);
  loop.cancel(0);
  turn(loop, 50);
  CHECK(ran == "axb");
}

TEST_CASE("a handler may end the watch of any descriptor, its own too") {
  Loop loop;
  const Fd a(::eventfd(1, EFD_NONBLOCK)), b(::eventfd(1, EFD_NONBLOCK));
  int calls = 0;
  for (const Fd* fd : {&a, &b}) {
    loop.watch(fd->get(), POLLIN, [&](short) {
      ++calls;
      loop.unwatch(a.get());
      loop.unwatch(b.get());
    });
  }
  turn(loop, 20);
  CHECK(calls == 1);
}

TEST_CASE("another thread's posts run on the loop, and stop ends it") {
  Loop loop;
  std::thread::id ran_on;
  std::thread other([&] {
    loop.post([&] { ran_on = std::this_thread::get_id(); });
    loop.stop();
  });
  loop.run();
  other.join();
  CHECK(ran_on == std::this_thread::get_id());
}

TEST_CASE("changes of a directory are told together, and files only when they are finished") {
  const Scratch scratch;
  Loop loop;
  std::vector<std::set<std::string>> told;
  const DirectoryWatch watch(loop, scratch.path, [&](const auto& names, bool all) {
    CHECK_FALSE(all);
    told.push_back(names);
  });
  std::ofstream open_file(scratch.path / "open.yaml");
  open_file << "half" << std::flush;
  turn(loop, 100);
  CHECK(told.empty());
  open_file.close();
  std::ofstream(scratch.path / "b.yaml") << "b";
  std::filesystem::rename(scratch.path / "b.yaml", scratch.path / "c.yaml");
  std::filesystem::create_symlink("c.yaml", scratch.path / "d.yaml");
  turn(loop, 100);
  REQUIRE(told.size() == 1);
  CHECK(told[0] == std::set<std::string>{"open.yaml", "b.yaml", "c.yaml", "d.yaml"});
  std::filesystem::remove(scratch.path / "c.yaml");
  turn(loop, 100);
  CHECK(told.size() == 2);
}

TEST_CASE("a directory that is replaced is watched again and all of it told") {
  const Scratch scratch;
  const auto path = scratch.path / "dir";
  std::filesystem::create_directory(path);
  Loop loop;
  int all_told = 0, names_told = 0;
  const DirectoryWatch watch(
      loop, path,
      [&](const auto& names, bool all) { (all ? all_told : names_told) += all || !names.empty(); }, false,
      milliseconds(10));
  std::filesystem::remove_all(path);
  turn(loop, 60);
  CHECK(all_told >= 1);
  std::filesystem::create_directory(path);
  turn(loop, 1200);
  const int before = all_told;
  CHECK(before >= 2);
  std::ofstream(path / "a") << "x";
  turn(loop, 60);
  CHECK(names_told == 1);
}

TEST_CASE("a file is written whole, with its mode, and nothing else is left") {
  const Scratch scratch;
  const auto path = scratch.path / "a";
  REQUIRE(write_atomically(path, "one", 0600));
  REQUIRE(write_atomically(path, "two", 0640));
  CHECK(*read_small_file(path) == "two");
  struct stat found{};
  REQUIRE(::stat(path.c_str(), &found) == 0);
  CHECK((found.st_mode & 0777) == 0640);
  CHECK(std::distance(std::filesystem::directory_iterator(scratch.path), {}) == 1);
  REQUIRE(remove_durably(path));
  REQUIRE(remove_durably(path));
  CHECK_FALSE(read_small_file(path));
  CHECK_FALSE(write_atomically(scratch.path / "no" / "a", "x", 0600));
}

#pragma once
// Running other programs and reading what they print: several at a time, each within a time, and streams of lines that go
// on until nobody wants them. Arguments go to the program as they are: no shell is between. Standard input is nothing, or
// (of streams) a pipe that ends when we do, however we end.
// Thread: one; blocking. Lifetime: children are ended before what started them goes.
// Source: posix_spawn(3), waitpid(2).
#include <sys/types.h>

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "nodeproxy/base/fd.h"

namespace weir::agent {

using Command = std::vector<std::string>;  // the program, found on PATH if it has no slash, and its arguments

struct Ran {
  int exit_code = -1;    // -1: it did not end by itself
  std::string out, err;  // what it printed
  int start_errno = 0;   // it could not be started: ENOENT, EACCES, …
  bool timed_out = false;

  bool ok() const { return exit_code == 0; }
};

// In the order of `commands`; at most `at_once` run at a time.
std::vector<Ran> run_all(const std::vector<Command>& commands, std::chrono::milliseconds time_max,
                         size_t at_once = 16);
Ran run(const Command& command, std::chrono::milliseconds time_max);

// A running program with its ends of the pipes.
class Child {
 public:
  Child(const Command& command, bool hold_input);
  Child(Child&&) noexcept;
  Child& operator=(Child&&) = delete;
  ~Child();

  Ran ran;
  Fd out, err;
  bool running() const { return pid_ > 0; }
  // Reads what is there of one pipe; it is closed at its end.
  void read_from(Fd& from, std::string& into) const;
  // Both pipes have ended: waits for the program, a second at most, and then kills it.
  void finish();
  void kill();

 private:
  pid_t pid_ = -1;
  Fd in_;
};

class LineStreams {
 public:
  using OnLine = std::function<void(size_t index, std::string line)>;

  explicit LineStreams(const std::vector<Command>& commands);
  // Hands over the lines that come within `wait`, as they come; false: every stream has ended.
  bool read(std::chrono::milliseconds wait, const OnLine& on_line);
  // Of a stream that has ended since the last call: its index; none: -1.
  int take_ended();
  const Ran& ran(size_t index) const { return children_[index].ran; }

 private:
  std::vector<Child> children_;
  std::vector<bool> told_;
};

}  // namespace weir::agent

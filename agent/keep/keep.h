#pragma once
// weir-keep: the first process of a container of a node's pod, which keeps one program running in it.
//
// Concept: a kubelet starts an ended container again, but after its second end within ten minutes it waits 10 s, then 20 s,
// up to five minutes. A node whose agent is away learns of no new endpoint and starts no pod of the mesh, one without a
// proxy serves nobody. So what was killed or crashed is started again here, at once the first time. A program that ends
// by itself has decided so (wrong flags, a signal to end): then the container ends, with its exit code, and the kubelet
// sees what it would see without this.
// Signals that end, and those for the program, are handed on. If this process dies the program is killed with it.
// Owner: main. Thread: one. Lifetime: the container's.
#include <chrono>
#include <string>

namespace weir::keep {

// How long to wait before the next start: not at all for a program that ran well, longer and longer for one that dies
// at its start.
class Pace {
 public:
  static constexpr std::chrono::milliseconds ran_well{10'000}, first{100}, longest{10'000};
  std::chrono::milliseconds before_next(std::chrono::milliseconds ran);

 private:
  std::chrono::milliseconds next_{0};
};

// How a program ended, by the status that waitpid() tells.
class Ending {
 public:
  explicit Ending(int status) : status_(status) {}
  bool by_signal() const;
  int exit_code() const;  // as a shell tells it: 128 and the signal
  std::string text() const;

 private:
  int status_;
};

// Runs `argv` (argv[0] is a path) until it ends by itself or this process is told to end; the exit code for main. The
// caller must have one thread and no children.
int keep(char* const argv[]);

}  // namespace weir::keep

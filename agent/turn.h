#pragma once
// Which of a node's agents is the active one. While a node's pod is replaced, two run: the newer asks by holding the file
// `next` in the state directory; the older sees that, closes all it has, which sets the lock free (saved_state.h), and
// waits for its own turn, should the newer end first. Both files are locks by flock(), so whoever dies lets go.
// Owner: run.cc. Thread: the main thread. Lifetime: the process's.
#include <filesystem>

#include "nodeproxy/base/error.h"
#include "nodeproxy/base/fd.h"

namespace weir::agent {

class Turn {
 public:
  explicit Turn(const std::filesystem::path& state_dir);

  // Whether no agent of this node is active at the moment. An error is told as "yes": opening the state will name it.
  bool is_free() const;
  // Holds `next`. False: another agent asks already, or it cannot be held; try again.
  bool ask();
  void taken() { asking_.reset(); }
  // Whether another agent asks for this one's place.
  bool is_asked() const;

 private:
  Fd locked(const char* file, int how) const;

  std::filesystem::path directory_;
  Fd asking_;
};

}  // namespace weir::agent

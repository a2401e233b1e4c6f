#pragma once
// Tells that files of a directory changed (inotify), a little later, so that a burst of changes is one call.
//
// Concept: only finished changes count (closed after writing, renamed, removed), so a file that is being written is not
// read half-way. When names were lost (queue overflow, `..data` of a mounted ConfigMap, the directory itself replaced)
// the call says "all". A directory that is not there yet, or no longer, is looked for every second.
// Owner: whoever reads the directory. Thread: the loop's. Source: inotify(7).
#include <chrono>
#include <filesystem>
#include <functional>
#include <set>
#include <string>

#include "agent/loop/loop.h"

namespace weir::agent {

class DirectoryWatch {
 public:
  // `names` are file names in the directory; with `all` any may have changed.
  using Changed = std::function<void(const std::set<std::string>& names, bool all)>;

  // Calls back for the first time when something changes after this.
  // `creations`: a file that was only created counts as well (a network namespace is a file nobody writes).
  DirectoryWatch(Loop& loop, std::filesystem::path path, Changed changed, bool creations = false,
                 std::chrono::milliseconds debounce = std::chrono::milliseconds(50));
  ~DirectoryWatch();
  DirectoryWatch(const DirectoryWatch&) = delete;
  DirectoryWatch& operator=(const DirectoryWatch&) = delete;

 private:
  void attach(bool first);
  void read_events();
  void tell_later();
  bool is_finished(const std::string& name) const;

  Loop& loop_;
  std::filesystem::path path_;
  Changed changed_;
  bool creations_;
  std::chrono::milliseconds debounce_;
  Fd inotify_;
  int descriptor_ = -1;
  std::set<std::string> names_;
  bool all_ = false;
  Loop::TimerId tell_timer_ = 0;
  Loop::TimerId attach_timer_ = 0;
};

}  // namespace weir::agent

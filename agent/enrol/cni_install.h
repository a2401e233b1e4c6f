#pragma once
// Keeps weir-cni installed on the node: the binary in the runtime's directory of plugins, and 00-weir.conflist.
//
// Concept: the directory of configurations is watched; whatever happens there, the file is made again from what the
// primary's says now. The primary changed: rewritten. Ours removed or changed: repaired, and counted, since another
// product that does this will do it again. The primary gone: ours goes as well, or pods would start on a network that
// nobody configures any more. The primary unreadable: ours stays as it is. Binary first, configuration last; uninstall
// the other way round. All writes are atomic. A stopped agent leaves both in place: that is what closes the window.
// Owner: the app. Thread: the loop's.
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "agent/enrol/conflist.h"
#include "agent/loop/loop.h"
#include "agent/loop/watch.h"
#include "nodeproxy/base/error.h"

namespace weir::agent {

class CniInstall {
 public:
  struct Options {
    std::filesystem::path plugin;             // the binary to install
    std::filesystem::path bin_dir, conf_dir;  // the runtime's
    std::string file = "00-weir.conflist";    // sorts first
    PluginConfig told;                        // what the plugin is told
    std::chrono::milliseconds check{30'000};  // besides the watch: the binary, and what a watch missed
    std::chrono::milliseconds debounce{50};   // of the watch
  };

  CniInstall(Loop& loop, Options options);
  ~CniInstall();
  CniInstall(const CniInstall&) = delete;
  CniInstall& operator=(const CniInstall&) = delete;

  // Binary and configuration are there and of effect, or why not. A node without any network yet has neither.
  const std::string& error() const { return error_; }
  const std::string& primary() const { return primary_; }  // name of its file; empty: there is none
  uint64_t repairs() const { return repairs_; }            // ours was gone or changed by somebody else

  // Removes the configuration, then the binary. Nothing there is welcome.
  static Status uninstall(const Options& options);

 private:
  void keep();
  Status bring_up_to_date();
  Status install_binary();

  Loop& loop_;
  const Options options_;
  std::string written_;  // our file as this process left it; empty: never, or removed
  std::string error_, primary_;
  uint64_t repairs_ = 0;
  Loop::TimerId timer_ = 0;
  std::unique_ptr<DirectoryWatch> watch_;
};

}  // namespace weir::agent

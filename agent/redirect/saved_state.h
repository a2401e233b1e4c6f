// What Weir changed on this node and in its pods, on disk, so that any later process can put it back.
//
// A file per pod and one for the node, below STATE_DIR/redirect. Each is written before the change it describes, to a
// temporary file that is fsynced and renamed, and removed after the change is undone. The lock in the directory makes
// one process active: an agent for its lifetime, or an uninstall. Records of an earlier boot are dropped on reading:
// namespaces and pins do not survive one. Owner: Redirect. Thread: its owner's.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "agent/redirect/sysctls.h"
#include "nodeproxy/base/error.h"
#include "nodeproxy/base/fd.h"
#include "nodeproxy/base/ip.h"

namespace weir::agent::redirect {

struct PodRecord {
  std::string uid;
  std::filesystem::path netns_path;
  uint64_t netns_cookie = 0;
  std::vector<Ip> addresses;
  uint32_t index = 0;  // slots 2·index and 2·index+1; names the pin
  uint16_t port = 0;   // of the listeners
  std::vector<SavedSysctl> sysctls;

  uint32_t outbound_slot() const { return index * 2; }
  uint32_t inbound_slot() const { return index * 2 + 1; }
};

struct NodeRecord {
  std::vector<std::filesystem::path> made_directories;  // outermost first
  bool mounted_bpffs = false;
};

class SavedState {
 public:
  // Makes the directory and takes the lock; fails when another process holds it.
  static Result<SavedState> open(const std::filesystem::path& state_dir);

  Result<NodeRecord> load_node() const;
  Status save_node(const NodeRecord& node);
  Result<std::vector<PodRecord>> load_pods() const;
  Status save_pod(const PodRecord& pod);
  Status erase_pod(const PodRecord& pod);
  // Removes the directory, the lock last.
  Status erase_all();

 private:
  SavedState(std::filesystem::path directory, Fd lock)
      : directory_(std::move(directory)), lock_(std::move(lock)) {}
  std::filesystem::path pod_path(const PodRecord& pod) const;

  std::filesystem::path directory_;
  Fd lock_;
};

}  // namespace weir::agent::redirect

// Where this agent's maps and links live on the BPF filesystem, and making and removing that place.
//
//   BPFFS_DIR/v<WEIR_SCHEMA>/map_NAME     every map of bpf/maps.h
//                           /link_NAME    the node's hooks
//                           /steer_INDEX  a pod's sk_lookup instance
// A schema that no longer fits gets a new directory, so that an old agent's objects are never misread. Both sets of
// programs are attached then, until every pod is captured by ours too (adopt.cc, retire_other_schemas).
// Owner: Redirect. Thread: its owner's. Lifetime of the pins: until uninstall, whatever processes die.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "agent/redirect/saved_state.h"
#include "bpf/abi.h"
#include "nodeproxy/base/error.h"
#include "nodeproxy/base/fd.h"

namespace weir::agent::redirect {

class Pins {
 public:
  explicit Pins(const std::filesystem::path& bpffs_dir, unsigned schema = WEIR_SCHEMA);

  // Makes the directory, and mounts a bpffs on bpffs_dir if it is on none. What it does is saved in `state` first.
  Status create(SavedState& state);
  // Removes the pins of this schema alone: its programs are detached.
  Status remove_schema();
  // Removes every pin of every schema, then what create() made.
  Status remove(SavedState& state);
  // What agents of other versions left, newer or older ones.
  std::vector<Pins> others() const;

  std::filesystem::path map(const std::string& name) const { return directory_ / ("map_" + name); }
  std::filesystem::path link(const std::string& name) const { return directory_ / ("link_" + name); }
  std::filesystem::path steer(uint32_t index) const {
    return directory_ / ("steer_" + std::to_string(index));
  }
  const std::filesystem::path& directory() const { return directory_; }

 private:
  std::filesystem::path bpffs_dir_;
  std::filesystem::path directory_;
};

// A descriptor of a pinned object; os_code ENOENT when there is none.
Result<Fd> open_pin(const std::filesystem::path& path);
// Detaches a pinned link at once (not when its last reference goes) and removes the pin. None there is success.
Status remove_link(const std::filesystem::path& path);

}  // namespace weir::agent::redirect

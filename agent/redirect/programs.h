// The node's hooks: loaded by every agent at start, attached once, then only updated in place.
//
// cgroup links (connect4/6, bind4/6, sockops) are pinned and take the new program through bpf_link_update; detaching
// and attaching again leaks connections in between. A raw tracepoint's link cannot be updated: the new one is attached
// first and renamed over the old, both running for a moment, which sock_state.bpf.c allows for.
// Maps are created by the first load and reused through their pins. Owner: Redirect. Thread: its owner's.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>

#include "agent/redirect/pins.h"
#include "agent/redirect/saved_state.h"
#include "bpf/abi.h"
#include "nodeproxy/base/error.h"

struct bpf_link;
struct bpf_object;

namespace weir::agent::redirect {

// Load-time constants of the node's hooks.
struct NodeConstants {
  uint64_t node_cookie = 0;
  uint64_t kubepods_id = 0;
  uint32_t kubepods_level = 0;
};

class Programs {
 public:
  // Loads, attaches or adopts. EPERM at attaching is said to be what it is: another product's exclusive program.
  static Result<Programs> install(const Pins& pins, const std::filesystem::path& cgroup_root,
                                  const NodeConstants& constants);
  Programs(Programs&&) noexcept;
  Programs& operator=(Programs&&) noexcept;
  ~Programs();

  // Counts the listeners that the calling thread's namespace already has (seed.bpf.c).
  Status seed() const;
  // Adds `delta` to one LISTEN count (adjust.bpf.c); false when the key does not exist.
  Result<bool> adjust(const weir_listen_key& key, int64_t delta) const;

 private:
  Programs();
  struct Held;
  std::unique_ptr<Held> held_;
};

// Names of the node's links, each pinned as Pins::link(name).
std::span<const char* const> node_links();

// The pod's own sk_lookup instance, attached to its namespace or, when pinned already, updated in place.
Status install_steer(const Pins& pins, const PodRecord& pod, int netns_fd);

// What user space learns of a pinned link.
struct LinkState {
  uint32_t program_id = 0;
  uint64_t cgroup_id = 0;    // of a cgroup link; 0 when detached
  uint32_t netns_inode = 0;  // of a netns link; 0 when its namespace is gone
};
Result<LinkState> link_state(const std::filesystem::path& pin);

}  // namespace weir::agent::redirect

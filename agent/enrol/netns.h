#pragma once
// What the agent asks of a network namespace without capturing it. Thread: any; blocking.
#include <cstdint>
#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "nodeproxy/base/error.h"
#include "nodeproxy/base/ip.h"

namespace weir::agent {

// Which namespace a file such as /run/netns/NAME stands for: device and inode of nsfs. Nothing when the file is not
// there or is no namespace (yet: `ip netns add` makes the file first and mounts the namespace then).
using NamespaceId = std::pair<uint64_t, uint64_t>;
std::optional<NamespaceId> namespace_id(const std::filesystem::path& path);

// net.ipv4.ip_local_port_range of the namespace (it governs IPv6 too); entered on a short-lived thread.
Result<std::pair<uint16_t, uint16_t>> local_port_range(int netns_fd);

struct NamespaceView {
  std::set<Ip> addresses;          // of all its interfaces
  std::vector<std::string> links;  // their names
};
Result<NamespaceView> look_inside(int netns_fd);
// Whether every one of these is an address of the namespace. Where the runtime takes a pod's network down, before its object
// goes, none is, and the routes that had them as their source went with them.
bool owns_addresses(int netns_fd, const std::vector<std::string>& addresses);

}  // namespace weir::agent

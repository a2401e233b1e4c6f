// The sysctls a captured pod needs, what they were before, and putting them back.
//
// tcp_fwmark_accept: an accepted socket answers with the mark of its SYN, so that answers loop (both families).
// fwmark_reflect: so do the kernel's own RSTs. tcp_migrate_req: a listener that closes hands its queue to its group.
// All functions act on the calling thread's namespace (netns.h): /proc/sys/net shows the reader's. Thread: any.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "nodeproxy/base/error.h"

namespace weir::agent::redirect {

struct SavedSysctl {
  std::string name;   // "net/ipv4/tcp_fwmark_accept"
  std::string value;  // before Weir
};

// The present values; a sysctl that this namespace lacks (no IPv6) is left out.
Result<std::vector<SavedSysctl>> read_sysctls();
// Sets all of those to what Weir needs.
Status apply_sysctls(std::span<const SavedSysctl> saved);
// Puts saved values back, except where somebody has since set another value than Weir's.
Status restore_sysctls(std::span<const SavedSysctl> saved);
// Names of those that are not as Weir needs them.
Result<std::vector<std::string>> wrong_sysctls(std::span<const SavedSysctl> saved);

}  // namespace weir::agent::redirect

// The sysctls a captured pod needs, what they were before, and putting them back.
//
// tcp_fwmark_accept: an accepted socket answers with the mark of its SYN, so that answers loop (both families).
// fwmark_reflect: so do the kernel's own RSTs. tcp_migrate_req: a listener that closes hands its queue to its group.
// tcp_tw_reuse: what lo carries has its ports back a second after its end. That is the kernel's default (2), but it goes by
// 127/8 and ::1, which captured connections do not have; and since a server's FIN comes through two proxies, its client is the
// first to close more often than without them. Another value than the default was somebody's wish, and stays.
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

// The present values; left out is a sysctl that this namespace lacks (no IPv6), or that stays as it is.
Result<std::vector<SavedSysctl>> read_sysctls();
// Sets all of those to what Weir needs.
Status apply_sysctls(std::span<const SavedSysctl> saved);
// Puts saved values back, except where somebody has since set another value than Weir's.
Status restore_sysctls(std::span<const SavedSysctl> saved);
// Names of those that are not as Weir needs them.
Result<std::vector<std::string>> wrong_sysctls(std::span<const SavedSysctl> saved);

}  // namespace weir::agent::redirect

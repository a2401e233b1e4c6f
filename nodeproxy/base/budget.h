#pragma once
// Bytes that may be promised to others: receive windows that were granted count whether or not anybody fills them, since
// a promise cannot be taken back. Windows that grow get no more than half of a budget, so that those who move much leave
// room for those who only begin.
// Thread: one worker. Lifetime: longer than what was taken from it.
#include <cstddef>

#include "nodeproxy/base/limits.h"

namespace weir {

struct Budget {
  size_t limit_bytes = limits::pod_buffered_max_bytes;
  size_t used_bytes = 0;

  bool has(size_t bytes) const { return used_bytes + bytes <= limit_bytes; }
  bool has_for_growth(size_t bytes) const { return used_bytes + bytes <= limit_bytes / 2; }
  void take(size_t bytes) { used_bytes += bytes; }
  void give_back(size_t bytes) { used_bytes -= bytes; }
};

}  // namespace weir

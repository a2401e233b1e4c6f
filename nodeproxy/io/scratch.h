#pragma once
// Bytes that are made and passed on before anything else runs: one piece of memory per worker, none per connection.
// Thread: the caller's own. By pointer, since thread-local storage itself is zeroed, and so resident, in every thread.
#include <algorithm>
#include <cstddef>
#include <memory>
#include <span>

#include "nodeproxy/base/limits.h"

namespace weir::io {

// At most limits::lane_output_bytes; valid until the next call or suspension.
inline std::span<std::byte> scratch(size_t bytes) {
  thread_local const auto memory = std::make_unique_for_overwrite<std::byte[]>(limits::lane_output_bytes);
  return {memory.get(), std::min(bytes, limits::lane_output_bytes)};
}

}  // namespace weir::io

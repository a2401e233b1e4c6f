#pragma once
// How long a retry waits: exponential back-off with full jitter, i.e. anything from nothing to the back-off, so that what
// failed together does not come back together.
// Thread: pure.
#include <algorithm>
#include <chrono>
#include <cstdint>

#include "nodeproxy/config/traffic.h"

namespace weir::balance {

// `attempt`: 1 for the first retry. `random`: 64 random bits (State::random().next()).
inline std::chrono::microseconds backoff(const config::Retry& retry, uint32_t attempt, uint64_t random) {
  using std::chrono::microseconds;
  const microseconds base = retry.backoff_base, most = retry.backoff_max;
  microseconds longest = std::min(base, most);
  for (uint32_t i = 1; i < attempt && longest < most; ++i) longest = std::min(longest * 2, most);
  const auto span = static_cast<uint64_t>(std::max<int64_t>(longest.count(), 0)) + 1;
  return microseconds(static_cast<int64_t>((static_cast<unsigned __int128>(random) * span) >> 64));
}

}  // namespace weir::balance

// See tap_merge.h.
#include "agent/cli/tap_merge.h"

#include <algorithm>

#include "agent/cli/members.h"

namespace weir::agent {

void TapMerge::add(nlohmann::json request, TimePoint now) {
  std::string time = text_of(request, "time", "");
  const auto at = std::ranges::upper_bound(held_, time, {}, &Held::time);
  held_.insert(at, {std::move(time), now, std::move(request)});
}

std::vector<nlohmann::json> TapMerge::take(TimePoint now, bool all) {
  size_t count = all ? held_.size() : 0;
  for (size_t i = 0; i < held_.size() && !all; ++i) {
    if (held_[i].came + hold_ <= now) count = i + 1;
  }
  std::vector<nlohmann::json> out;
  out.reserve(count);
  for (size_t i = 0; i < count; ++i) out.push_back(std::move(held_[i].request));
  held_.erase(held_.begin(), held_.begin() + static_cast<ptrdiff_t>(count));
  return out;
}

}  // namespace weir::agent

// A short queue for each pod. See refusals.h.
#include "nodeproxy/telemetry/refusals.h"

#include <algorithm>

#include "nodeproxy/base/limits.h"

namespace weir::telemetry {

bool is_refusal(Reason reason) {
  switch (reason) {
    case Reason::denied:
    case Reason::not_allowed:
    case Reason::plaintext_refused:
    case Reason::policy_changed:
    case Reason::certificate_expired:
    case Reason::certificate_untrusted:
    case Reason::certificate_malformed:
    case Reason::trust_domain:
    case Reason::identity_mismatch:
    case Reason::client_certificate_required:
    case Reason::unknown_destination: return true;
    default: return false;
  }
}

void Refusals::add(const std::string& pod, std::string_view line) {
  if (pod.empty()) return;
  if (!pods_.contains(pod) && pods_.size() >= limits::refusal_pods) {
    // Pods come and go: what was said longest ago is of one that is gone.
    pods_.erase(
        std::ranges::min_element(pods_, {}, [](const auto& entry) { return entry.second.back().time; }));
  }
  std::deque<RefusalLine>& lines = pods_[pod];
  lines.push_back({std::chrono::system_clock::now(), std::string(line)});
  if (lines.size() > limits::refusals_per_pod) lines.pop_front();
}

std::vector<RefusalLine> Refusals::of(const std::string& pod) const {
  const auto found = pods_.find(pod);
  if (found == pods_.end()) return {};
  return {found->second.begin(), found->second.end()};
}

}  // namespace weir::telemetry

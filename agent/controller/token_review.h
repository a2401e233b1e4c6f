#pragma once
// Who an agent is, by its token: TokenReview's question and answer, and how long an answer counts.
//
// Concept: the API server alone judges tokens (signature, expiry, whether the pod it is bound to still exists); what is
// required on top is here. A cache keeps answers for seconds, so that an agent's burst of requests costs one review, by
// the token's SHA-256: tokens themselves are not kept. Refusals are kept too, so that a bad token cannot be turned into
// load of the API server.
// Owner: the desk. Thread: the loop's. Source: authentication.k8s.io/v1 TokenReview; KEP-4193 (node claims).
#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "agent/controller/refusal.h"

namespace weir::agent::controller {

inline constexpr std::string_view kAudience = "weir-ca";
inline constexpr std::string_view kAgentUser = "system:serviceaccount:weir-system:weir-node";

struct Caller {
  std::string node, pod;  // where the token's pod runs; its name, for the log
};
using CallerOrRefusal = std::expected<Caller, Refusal>;

// The body of POST /apis/authentication.k8s.io/v1/tokenreviews.
std::string review_question(const std::string& token);

// What an answer's status means: authenticated, for our audience, the agents' account, with the node claim.
// Refusals: UNAUTHENTICATED when it is no valid token for us, PERMISSION_DENIED when it is somebody else's.
CallerOrRefusal judge_review(const std::string& answer_body);

class ReviewCache {
 public:
  using Clock = std::chrono::steady_clock;

  // Of a token that was judged less than kKept ago.
  std::optional<CallerOrRefusal> find(const std::string& token_hash, Clock::time_point now) const;
  void keep(const std::string& token_hash, CallerOrRefusal judged, Clock::time_point now);
  size_t size() const { return entries_.size(); }

  static constexpr auto kKept = std::chrono::seconds(10);
  static constexpr size_t kEntriesMax = 10'000;

 private:
  struct Entry {
    CallerOrRefusal judged;
    Clock::time_point at;
  };
  std::map<std::string, Entry> entries_;
};

}  // namespace weir::agent::controller

#pragma once
// Verdicts on requests, and what any verdict leaves in the records: the policy and rule that decided, and the audits that
// matched.
// Thread: one worker.
#include "nodeproxy/flow/context.h"
#include "nodeproxy/http/path.h"
#include "nodeproxy/policy/judge.h"

namespace weir::flow {

// The log names what denied, or what audited; the answer to the client never does. `facts`: of a connection's record or of
// a request's.
template <typename Facts>
void name_rule(Facts& facts, const policy::Verdict& verdict) {
  const config::Policy* policy = verdict.allowed ? nullptr : verdict.policy;
  const config::Rule* rule = verdict.rule;
  if (!policy && !verdict.audits().empty()) {
    policy = verdict.audits().front().policy;
    rule = verdict.audits().front().rule;
  }
  if (!policy) return;
  facts.policy = policy->name;
  facts.rule = rule ? rule->name : "";
}

// The verdict on one request. Where a policy looks at the path, what is judged is what is forwarded: the head's path is
// brought to its normal form.
inline policy::Verdict judge_request(const config::Workload& destination, uint16_t port,
                                     const policy::Peer& peer, http::Head& head) {
  if (!policy::needs_request(destination, port)) return policy::judge(destination, port, peer);
  const bool refused =
      policy::needs_path(destination, port) && http::normalise_target(head.path) != http::PathFault::none;
  return policy::judge(destination, port, peer, {head, http::path_of(head.path), refused});
}

inline void count_audits(Context& context, const policy::Verdict& verdict) {
  context.counters.audits += verdict.audit_count;
}

}  // namespace weir::flow

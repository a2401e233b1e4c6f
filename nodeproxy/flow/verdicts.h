#pragma once
// What a policy verdict leaves in the records: the policy and rule that decided, and the audits that matched.
// Thread: one worker.
#include "nodeproxy/flow/context.h"
#include "nodeproxy/policy/judge.h"

namespace weir::flow {

// The log names what denied, or what audited; the answer to the client never does.
inline void name_rule(telemetry::Record& record, const policy::Verdict& verdict) {
  const config::Policy* policy = verdict.allowed ? nullptr : verdict.policy;
  const config::Rule* rule = verdict.rule;
  if (!policy && !verdict.audits().empty()) {
    policy = verdict.audits().front().policy;
    rule = verdict.audits().front().rule;
  }
  if (!policy) return;
  record.facts.policy = policy->name;
  record.facts.rule = rule ? rule->name : "";
}

inline void count_audits(Context& context, const policy::Verdict& verdict) {
  context.counters.audits += verdict.audit_count;
}

}  // namespace weir::flow

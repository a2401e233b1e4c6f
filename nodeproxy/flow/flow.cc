// Registration, early end and the recording of the outcome. See flow.h.
#include "nodeproxy/flow/flow.h"

#include <cerrno>

#include "nodeproxy/flow/http_corridor.h"
#include "nodeproxy/flow/local_pod.h"
#include "nodeproxy/policy/judge.h"

namespace weir::flow {

Flow::Flow(Context& context, LocalPod& owner, Seat seat)
    : io::Scope(context.driver),
      context(context),
      owner(owner),
      record(context.driver.now()),
      seat_(std::move(seat)) {
  owned_.enter(owner.flows);
  ++owner.flow_count;
  ++context.live_flows;
}

Flow::~Flow() {
  --owner.flow_count;
  --context.live_flows;
}

void Flow::take_place(const Ip& source, int fd) {
  // A queue that the kernel accepted from in one go may have taken more than there was.
  if (context.driver.descriptors_beyond(fd) < limits::reserved_descriptors) {
    why = Error{Source::local, Reason::out_of_descriptors, EMFILE, {}};
    return;
  }
  auto allowed = context.shares.connection(source);
  if (!allowed) {
    why = allowed.error();
  } else if (owner.flow_count > context.connections_per_pod) {
    why = pod_is_full("connections");
  } else {
    place = std::move(*allowed);
  }
}

void Flow::drain() {
  if (http) http->drain();
}

void Flow::end(const Error& reason) {
  if (!why) why = reason;
  cancel();
}

void Flow::register_judged(LocalPod& destination, Judgement facts) {
  judgement = std::move(facts);
  judged_link_.enter(destination.judged);
  if (destination.removed()) end(Error{Source::agent, Reason::pod_removed, 0, {}});
}

void Flow::judge_again(const config::Workload& now) {
  const Judgement& facts = judgement;
  const policy::Peer peer{facts.identity, facts.client};
  if (facts.parsed) {
    if (!policy::admit(now.mode_of(facts.port), facts.secured)) {
      end(Error{Source::policy, Reason::policy_changed, 0, {}});
    }
    return;
  }
  const policy::Verdict verdict = policy::judge(now, facts.port, peer);
  // Conditions of layer 7 have come to a port, and this flow is not being parsed: they cannot be judged on it.
  const bool unseen = !facts.requests_needed && policy::needs_request(now, facts.port);
  const bool admitted = policy::admit(now.mode_of(facts.port), facts.secured).has_value();
  if (verdict.allowed && !unseen && admitted) return;
  if (verdict.policy) record.facts.policy = verdict.policy->name;
  if (verdict.rule) record.facts.rule = verdict.rule->name;
  // What was unseen may be what is allowed: an HTTP client is not told that its request was forbidden.
  end(Error{
      Source::policy, unseen && admitted ? Reason::inspection_required : Reason::policy_changed, 0, {}});
}

void Flow::on_empty() {
  const Error outcome = why.value_or(Error{Source::local, Reason::none, 0, {}});
  if (!record.ended()) record.end(context.sink, context.driver.now(), outcome);
  on_end(outcome);
  LocalPod& pod = owner;
  delete this;
  pod.flow_ended();
}

}  // namespace weir::flow

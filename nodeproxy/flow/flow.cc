// Registration, early end and the recording of the outcome. See flow.h.
#include "nodeproxy/flow/flow.h"

#include "nodeproxy/flow/local_pod.h"

namespace weir::flow {

void FlowLink::enter(FlowLink*& list_head) {
  leave();
  head = &list_head;
  next = list_head;
  if (next) next->previous = this;
  list_head = this;
}

void FlowLink::leave() {
  if (!head) return;
  if (previous) {
    previous->next = next;
  } else {
    *head = next;
  }
  if (next) next->previous = previous;
  head = nullptr;
  previous = next = nullptr;
}

Flow::Flow(Context& context, LocalPod& owner)
    : io::Scope(context.driver), context(context), owner(owner), record(context.driver.now()) {
  owned_.enter(owner.flows);
  ++owner.flow_count;
  ++context.live_flows;
}

Flow::~Flow() {
  --owner.flow_count;
  --context.live_flows;
}

void Flow::end(const Error& reason) {
  if (!why) why = reason;
  cancel();
}

void Flow::register_judged(LocalPod& destination, Judgement facts) {
  judgement = std::move(facts);
  judged_.enter(destination.judged);
  if (destination.removed()) end(Error{Source::agent, Reason::pod_removed, 0, {}});
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

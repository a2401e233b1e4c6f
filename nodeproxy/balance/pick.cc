// The order of the steps. See pick.h.
#include "nodeproxy/balance/pick.h"

#include "nodeproxy/balance/choose.h"

namespace weir::balance {

Result<Choice> pick(const Request& request, State& state) {
  const config::ServicePort* port = request.service.port(request.port);
  if (port == nullptr) return fail(Source::local, Reason::unknown_port);
  Group& group = state.groups().refresh(request, port->name, state.random());
  const Candidate* chosen = choose(request, group, state);
  if (chosen == nullptr) return fail(Source::local, Reason::no_endpoint);
  return Choice{chosen->endpoint, port, chosen->port, &group, chosen->member};
}

}  // namespace weir::balance

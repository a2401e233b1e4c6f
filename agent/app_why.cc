// What the agent knows of one pod, gathered for why(). See app.h and why.h.
#include <nlohmann/json.hpp>

#include "agent/app.h"
#include "agent/why.h"

namespace weir::agent {

std::string App::why_json(const std::string& pod) const {
  const std::set<std::string> announced = announcements_->uids();
  WhyFacts facts{{source_.source->objects(), options_.node, options_.trust_domain, announced, trust_},
                 *resources_,
                 notes_,
                 {},
                 {}};
  if (const ProxyLink* link = server_->active()) facts.quarantine = &link->sync().quarantine();
  for (auto& status : enrolment_->status()) {
    if (status.spec.name.text() == pod) facts.capture = std::move(status);
  }
  const auto answer = why(facts, pod);
  if (!answer) return {};
  return answer->dump(1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace weir::agent

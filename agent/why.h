#pragma once
// `weirctl why POD`: all that decides what happens to the traffic of one pod, with who decided it, and what is odd about
// it. From the objects, from what derive() made of them, and from what the agent knows of the pod's capture; nothing here
// decides anything. Values are in the words that users write (api.md).
// Pure. Thread: any. Lifetime: one question.
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "agent/derive/derive.h"
#include "agent/enrol/enrolment.h"
#include "agent/serve/sync.h"

namespace weir::agent {

struct WhyFacts {
  Inputs inputs;
  const Resources& resources;                                           // what derive() made of `inputs`
  const std::vector<Note>& notes;                                       // and what it noted
  const std::map<ResourceId, Sync::Quarantined>* quarantine = nullptr;  // null: no proxy is connected
  std::optional<PodStatus> capture;                                     // of a pod of this node
};

// Members: see why.cc. Nothing: there is no such pod; `name` is "namespace/name".
std::optional<nlohmann::ordered_json> why(const WhyFacts& facts, const std::string& name);

const char* word(Mode mode);

}  // namespace weir::agent

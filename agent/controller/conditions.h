#pragma once
// What is said of an object in its status, as a pure function of what derive and the readers said of it. There is no
// second opinion here: the words are theirs, only the shape is the Gateway API's.
//
// For a route: an entry of status.parents for each Service it names as parent, by our controllerName, with Accepted and
// ResolvedRefs (and PartiallyInvalid where some rules are answered with an error); entries of other controllers, as of
// Gateways, are left as they are. For Weir's own kinds: Accepted, ResolvedRefs and Programmed; the latter says that the
// object became configuration, which the agents derive by the same code, not that every node has it by now.
// Thread: any; pure. Source: Gateway API v1 RouteStatus, GEP-1364 (conditions), GEP-713 (policies), KEP-1623.
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "agent/derive/derive.h"

namespace weir::agent::controller {

inline constexpr const char* kControllerName = "weir.dev/mesh-controller";

// All that was said of one object.
struct Said {
  std::string refused;  // by the reader: it was never understood; a sentence
  std::vector<Note> notes;
  std::vector<ParentVerdict> parents;
  size_t rules = 0, rules_invalid = 0;  // of a route
};

// `object` as the API server has it: spec.parentRefs, metadata.generation, status. The status it should have; `now` is a
// time of day for conditions that change (RFC 3339).
nlohmann::json route_status(const nlohmann::json& object, const Said& said, const std::string& now);
nlohmann::json policy_status(const nlohmann::json& object, const Said& said, const std::string& now);

// Whether two statuses say the same, whenever they began to.
bool same_status(const nlohmann::json& a, const nlohmann::json& b);

// "true", "false" for the condition Accepted of a status, over all parents; "none" where there is none of ours.
std::string accepted_word(const nlohmann::json& status);

}  // namespace weir::agent::controller

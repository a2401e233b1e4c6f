// Verdicts and notes → conditions. See conditions.h.
#include "agent/controller/conditions.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "agent/kube/json.h"

namespace weir::agent::controller {
namespace {

using Json = nlohmann::json;

constexpr size_t kMessageMax = 32'000;  // KEP-1623: 32,768

struct Condition {
  const char* type;
  bool holds;
  std::string reason, message;
};

// With the time of the condition before it, if that said the same.
Json write(const std::vector<Condition>& conditions, const Json& before, const Json& generation,
           const std::string& now) {
  Json out = Json::array();
  for (const auto& condition : conditions) {
    const std::string status = condition.holds ? "True" : "False";
    std::string since = now;
    for (const auto& old : before.is_array() ? before : Json::array()) {
      if (kube::text_member(old, "/type") == condition.type && kube::text_member(old, "/status") == status &&
          !kube::text_member(old, "/lastTransitionTime").empty()) {
        since = kube::text_member(old, "/lastTransitionTime");
      }
    }
    out.push_back({{"type", condition.type},
                   {"status", status},
                   {"reason", condition.reason},
                   {"message", condition.message.substr(0, kMessageMax)},
                   {"observedGeneration", generation.is_number() ? generation : Json(0)},
                   {"lastTransitionTime", since}});
  }
  return out;
}

std::string texts_of(const std::vector<Note>& notes, auto wanted) {
  std::string out;
  for (const auto& note : notes) {
    if (wanted(note)) out += (out.empty() ? "" : "\n") + note.text;
  }
  return out;
}

bool is_reference(const Note& note) {
  constexpr std::array<std::string_view, 3> kReasons{"BackendNotFound", "RefNotPermitted", "InvalidKind"};
  return std::ranges::find(kReasons, note.reason) != kReasons.end();
}

// Of the route at one parent.
std::vector<Condition> route_conditions(const Said& said, const ParentVerdict* verdict) {
  if (!said.refused.empty()) {
    return {
        {"Accepted", false, "UnsupportedValue", said.refused},
        {"ResolvedRefs", false, "InvalidKind", "the route is not understood, and its references with it"}};
  }
  std::vector<Condition> out;
  const auto hints = texts_of(said.notes, [](const Note& note) { return note.reason.empty(); });
  const bool none_valid = said.rules > 0 && said.rules_invalid == said.rules;
  const auto unsupported =
      texts_of(said.notes, [](const Note& note) { return note.reason == "UnsupportedValue"; });
  if (verdict == nullptr) {
    out.push_back({"Accepted", false, "Pending", "the Service is not known yet"});
  } else if (!verdict->reason.empty()) {
    out.push_back({"Accepted", false, verdict->reason, verdict->text});
  } else if (none_valid) {
    out.push_back({"Accepted", false, "UnsupportedValue", unsupported});
  } else {
    out.push_back({"Accepted", true, "Accepted", hints.empty() ? "in force" : "in force; " + hints});
  }
  const auto first = std::ranges::find_if(said.notes, is_reference);
  if (first == said.notes.end()) {
    out.push_back({"ResolvedRefs", true, "ResolvedRefs", "every reference leads to a Service"});
  } else {
    out.push_back({"ResolvedRefs", false, first->reason, texts_of(said.notes, is_reference)});
  }
  if (said.rules_invalid > 0 && !none_valid)
    out.push_back({"PartiallyInvalid", true, "UnsupportedValue", "Dropped Rule: " + unsupported});
  return out;
}

bool is_service(const Json& parent) {
  const Json& group = kube::member(parent, "/group");
  return group.is_string() && group.get<std::string>().empty() &&
         kube::text_member(parent, "/kind") == "Service";
}

}  // namespace

Json route_status(const Json& object, const Said& said, const std::string& now) {
  const Json& before = kube::member(object, "/status/parents");
  const Json& refs = kube::member(object, "/spec/parentRefs");
  Json parents = Json::array();
  for (const auto& entry : before.is_array() ? before : Json::array()) {
    if (kube::text_member(entry, "/controllerName") != kControllerName) parents.push_back(entry);
  }
  for (size_t i = 0; refs.is_array() && i < refs.size(); ++i) {
    if (!is_service(refs[i])) continue;
    const auto verdict = std::ranges::find(said.parents, i, &ParentVerdict::parent);
    const auto conditions = route_conditions(said, verdict == said.parents.end() ? nullptr : &*verdict);
    Json old;
    for (const auto& entry : before.is_array() ? before : Json::array()) {
      if (kube::text_member(entry, "/controllerName") == kControllerName &&
          kube::member(entry, "/parentRef") == refs[i])
        old = kube::member(entry, "/conditions");
    }
    parents.push_back(
        {{"parentRef", refs[i]},
         {"controllerName", kControllerName},
         {"conditions", write(conditions, old, kube::member(object, "/metadata/generation"), now)}});
  }
  return {{"parents", parents}};
}

Json policy_status(const Json& object, const Said& said, const std::string& now) {
  const auto missing = [](const Note& note) { return note.reason == "TargetNotFound"; };
  const auto invalid = [](const Note& note) { return note.reason == "Invalid"; };
  const auto rest = texts_of(said.notes, [&](const Note& note) { return !missing(note) && !invalid(note); });
  const auto targets = kube::member(object, "/spec/targetRefs");
  const auto missing_count = static_cast<size_t>(std::ranges::count_if(said.notes, missing));
  const bool no_target = targets.is_array() && !targets.empty() && missing_count >= targets.size();
  const std::string broken = !said.refused.empty() ? said.refused : texts_of(said.notes, invalid);
  std::vector<Condition> conditions;
  if (!broken.empty()) {
    conditions.push_back({"Accepted", false, "Invalid", broken});
  } else if (no_target) {
    conditions.push_back({"Accepted", false, "TargetNotFound", texts_of(said.notes, missing)});
  } else {
    conditions.push_back({"Accepted", true, "Accepted", rest.empty() ? "understood" : "understood; " + rest});
  }
  if (missing_count == 0) {
    conditions.push_back({"ResolvedRefs", true, "ResolvedRefs", "every target is there"});
  } else {
    conditions.push_back({"ResolvedRefs", false, "TargetNotFound", texts_of(said.notes, missing)});
  }
  const bool accepted = conditions.front().holds;
  const char* instead =
      kube::text_member(object, "/kind") == "AuthorizationPolicy"
          ? "not in force as written: its last good form is, or else an Allow matches nothing and a Deny "
            "everything it selects"
          : "not in force: its last good form is, if there was one";
  conditions.push_back({"Programmed", accepted, accepted ? "Programmed" : conditions.front().reason,
                        accepted          ? "part of what agents configure"
                        : !broken.empty() ? instead
                                          : "it selects nothing"});
  return {{"conditions", write(conditions, kube::member(object, "/status/conditions"),
                               kube::member(object, "/metadata/generation"), now)}};
}

bool same_status(const Json& a, const Json& b) {
  const auto without_times = [](Json status) {
    const auto strip = [](Json& holder) {
      if (!holder.is_object() || !holder.contains("conditions") || !holder["conditions"].is_array()) return;
      for (auto& condition : holder["conditions"]) {
        if (condition.is_object()) condition.erase("lastTransitionTime");
      }
      std::ranges::sort(holder["conditions"].get_ref<Json::array_t&>(), [](const Json& x, const Json& y) {
        return kube::text_member(x, "/type") < kube::text_member(y, "/type");
      });
    };
    strip(status);
    if (status.is_object() && status.contains("parents") && status["parents"].is_array()) {
      for (auto& parent : status["parents"]) strip(parent);
    }
    return status;
  };
  return without_times(a) == without_times(b);
}

std::string accepted_word(const Json& status) {
  bool any = false, all = true;
  const auto look = [&](const Json& conditions) {
    for (const auto& condition : conditions.is_array() ? conditions : Json::array()) {
      if (kube::text_member(condition, "/type") != "Accepted") continue;
      any = true;
      all = all && kube::text_member(condition, "/status") == "True";
    }
  };
  look(kube::member(status, "/conditions"));
  for (const auto& parent :
       kube::member(status, "/parents").is_array() ? kube::member(status, "/parents") : Json::array()) {
    if (kube::text_member(parent, "/controllerName") == kControllerName)
      look(kube::member(parent, "/conditions"));
  }
  return !any ? "none" : all ? "true" : "false";
}

}  // namespace weir::agent::controller

// Watching, judging, patching. See status_keeper.h.
#include "agent/controller/status_keeper.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <ctime>
#include <utility>

#include "agent/files/parse.h"
#include "agent/kube/json.h"
#include "nodeproxy/base/log.h"

namespace weir::agent::controller {
namespace {

using Json = nlohmann::json;

bool is_route(const std::string& kind) { return kind == "HTTPRoute" || kind == "GRPCRoute"; }
bool has_status(const std::string& kind) {
  return is_route(kind) || kind == "PeerAuthentication" || kind == "AuthorizationPolicy" ||
         kind == "TrafficPolicy";
}

std::vector<kube::WatchedKind> kinds() {
  std::vector<kube::WatchedKind> out;
  for (auto& kind : kube::watched_kinds()) {
    const std::string& name = kind.resource.kind;
    if (has_status(name) || name == "Service" || name == "ReferenceGrant") out.push_back(std::move(kind));
  }
  return out;
}

std::string key_of(const kube::WatchedKind& kind, const ObjectName& name) {
  return kind.resource.kind + " " + name.text();
}

// What a status is made from and patched by.
Json kept(const Json& object) {
  return {{"kind", kube::text_member(object, "/kind")},
          {"metadata",
           {{"name", kube::text_member(object, "/metadata/name")},
            {"namespace", kube::text_member(object, "/metadata/namespace")},
            {"uid", kube::text_member(object, "/metadata/uid")},
            {"generation", kube::member(object, "/metadata/generation")},
            {"resourceVersion", kube::text_member(object, "/metadata/resourceVersion")}}},
          {"spec",
           {{"parentRefs", kube::member(object, "/spec/parentRefs")},
            {"targetRefs", kube::member(object, "/spec/targetRefs")}}},
          {"status", kube::member(object, "/status")}};
}

std::string rfc3339() { return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::time(nullptr))); }

}  // namespace

StatusKeeper::StatusKeeper(Loop& loop, kube::Client& client, Ask ask, Metrics& metrics, Options options)
    : loop_(loop),
      ask_(std::move(ask)),
      metrics_(metrics),
      options_(std::move(options)),
      kinds_(kinds()),
      alive_(std::make_shared<bool>(true)) {
  for (const auto& kind : kinds_) {
    kube::Reflector::Handlers handlers;
    handlers.changed = [this, &kind](const Json& object) { changed(kind, object); };
    handlers.gone = [this, &kind](const ObjectName& name) { gone(kind, name); };
    handlers.listed = [this] { later(options_.coalesce); };
    reflectors_.push_back(std::make_unique<kube::Reflector>(loop, client, kind.resource, std::move(handlers),
                                                            options_.reflector));
  }
  for (const auto& reflector : reflectors_) reflector->start();
}

StatusKeeper::~StatusKeeper() {
  loop_.cancel(timer_);
  metrics_.clear("weir_controller_status_objects");
}

void StatusKeeper::changed(const kube::WatchedKind& kind, const Json& object) {
  later(options_.coalesce);
  if (!has_status(kind.resource.kind)) return read(kind, object, nullptr);
  const ObjectName name{kube::text_member(object, "/metadata/namespace"),
                        kube::text_member(object, "/metadata/name")};
  Judged& judged = judged_[key_of(kind, name)];
  const Json before = std::exchange(judged.object, kept(object));
  judged.kind = kind.index;
  // A status that was written, mostly by us, changes nothing that derive sees.
  const auto same = [&](const char* pointer) {
    return kube::member(before, pointer) == kube::member(judged.object, pointer);
  };
  if (!before.is_null() && same("/metadata/uid") && same("/metadata/generation")) return;
  read(kind, object, &judged);
}

void StatusKeeper::read(const kube::WatchedKind& kind, const Json& object, Judged* judged) {
  derived_ = false;
  const ObjectName name{kube::text_member(object, "/metadata/namespace"),
                        kube::text_member(object, "/metadata/name")};
  Parsed parsed = parse_json(key_of(kind, name), object);
  if (judged != nullptr) judged->refused = parsed.error ? parsed.error->reason : "";
  for (auto& one : parsed.objects) objects_.add(std::move(one));
}

void StatusKeeper::gone(const kube::WatchedKind& kind, const ObjectName& name) {
  objects_.remove(kind.index, name);
  judged_.erase(key_of(kind, name));
  derived_ = false;
  later(options_.coalesce);
}

void StatusKeeper::later(std::chrono::milliseconds delay) {
  if (timer_ != 0) return;
  timer_ = loop_.after(delay, [this] {
    timer_ = 0;
    judge();
  });
}

void StatusKeeper::derive_again() {
  const std::set<std::string> nobody;
  const TrustBundle none;
  Derived derived = derive({objects_, "", options_.trust_domain, nobody, none});
  said_.clear();
  for (auto& note : derived.notes) said_[note.object].notes.push_back(std::move(note));
  for (auto& verdict : derived.parents) said_[verdict.object].parents.push_back(std::move(verdict));
  const auto rules = [&](const char* kind, const auto& routes) {
    for (const auto& [name, route] : routes) {
      Said& said = said_[std::string(kind) + " " + name.text()];
      said.rules = route.spec.rules.size();
      said.rules_invalid = static_cast<size_t>(std::ranges::count_if(
          route.spec.rules, [](const RouteRule& rule) { return !rule.filters.unsupported.empty(); }));
    }
  };
  rules("HTTPRoute", objects_.http_routes);
  rules("GRPCRoute", objects_.grpc_routes);
  derived_ = true;
}

void StatusKeeper::judge() {
  if (!std::ranges::all_of(reflectors_, [](const auto& one) { return one->status().listed; })) return;
  if (!derived_) derive_again();
  const std::string now = rfc3339();
  std::map<std::pair<std::string, std::string>, size_t> words;
  for (auto& [key, judged] : judged_) {
    Said said = said_[key];
    said.refused = judged.refused;
    const std::string kind = kube::text_member(judged.object, "/kind");
    const Json status =
        is_route(kind) ? route_status(judged.object, said, now) : policy_status(judged.object, said, now);
    const std::string word = accepted_word(status);
    ++words[{kind, word}];
    // A route with no parent of ours, now or before, is not ours to write to.
    const bool ours = word != "none" || accepted_word(judged.object["status"]) != "none";
    if (!ours || judged.patching) continue;
    Json before = judged.object["status"];
    if (before.is_object())
      before = is_route(kind) ? Json{{"parents", kube::member(before, "/parents")}}
                              : Json{{"conditions", kube::member(before, "/conditions")}};
    if (same_status(before, status)) continue;
    if (patching_ < options_.patches_at_once) patch(key, judged, status);
  }
  count(words);
}

void StatusKeeper::count(const std::map<std::pair<std::string, std::string>, size_t>& words) {
  metrics_.clear("weir_controller_status_objects");
  for (const auto& [word, objects] : words) {
    metrics_.set("weir_controller_status_objects", static_cast<double>(objects),
                 {{"kind", word.first}, {"accepted", word.second}});
  }
}

void StatusKeeper::patch(const std::string& key, Judged& judged, const Json& status) {
  const auto kind = std::ranges::find(kinds_, judged.kind, &kube::WatchedKind::index);
  const std::string& collection = kind->resource.path;
  const size_t slash = collection.rfind('/');
  const std::string path =
      fmt::format("{}/namespaces/{}{}/{}/status", collection.substr(0, slash),
                  kube::text_member(judged.object, "/metadata/namespace"), collection.substr(slash),
                  kube::text_member(judged.object, "/metadata/name"));
  const Json body{
      {"metadata", {{"resourceVersion", kube::text_member(judged.object, "/metadata/resourceVersion")}}},
      {"status", status}};
  judged.patching = true;
  ++patching_;
  ask_("PATCH", path, kMergePatch, body.dump(-1, ' ', false, Json::error_handler_t::replace),
       [this, key, name = kind->resource.kind, alive = std::weak_ptr(alive_)](Result<kube::Answer> answer) {
         if (alive.expired()) return;
         --patching_;
         const auto found = judged_.find(key);
         if (found != judged_.end()) found->second.patching = false;
         const bool overtaken = answer && (answer->status == 409 || answer->status == 404);
         const char* result = is_success(answer) ? "written" : overtaken ? "overtaken" : "failed";
         metrics_.add("weir_controller_status_patches_total", 1, {{"kind", name}, {"result", result}});
         if (is_success(answer)) {
           const Json object = Json::parse(answer->body, nullptr, false);
           // Not over what the watch has brought meanwhile of a newer generation.
           if (found != judged_.end() && object.is_object() &&
               kube::member(object, "/metadata/generation") ==
                   kube::member(found->second.object, "/metadata/generation")) {
             found->second.object = kept(object);
           }
         } else if (!overtaken) {
           log::warn("the status of {} cannot be written: {}", key, trouble_of(answer));
         }
         later(is_success(answer) ? options_.coalesce : options_.retry);
       });
}

}  // namespace weir::agent::controller

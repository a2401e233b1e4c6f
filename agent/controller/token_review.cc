// Judging a TokenReview. See token_review.h.
#include "agent/controller/token_review.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "agent/controller/workload_name.h"

namespace weir::agent::controller {
namespace {

using Json = nlohmann::json;
using Code = Refusal::Code;

constexpr const char* kNodeClaim = "authentication.kubernetes.io/node-name";
constexpr const char* kPodClaim = "authentication.kubernetes.io/pod-name";

const Json& member(const Json& object, const char* name) {
  static const Json none;
  const auto found = object.is_object() ? object.find(name) : object.end();
  return object.is_object() && found != object.end() ? *found : none;
}

std::string text_of(const Json& value) { return value.is_string() ? value.get<std::string>() : ""; }

// A claim has one value; several would leave open which is meant.
std::string claim(const Json& user, const char* name) {
  const Json& values = member(member(user, "extra"), name);
  return values.is_array() && values.size() == 1 ? text_of(values[0]) : "";
}

}  // namespace

std::string review_question(const std::string& token) {
  return Json{{"apiVersion", "authentication.k8s.io/v1"},
              {"kind", "TokenReview"},
              {"spec", {{"token", token}, {"audiences", {kAudience}}}}}
      .dump(-1, ' ', true, Json::error_handler_t::replace);
}

CallerOrRefusal judge_review(const std::string& answer_body) {
  const Json answer = Json::parse(answer_body, nullptr, false);
  const Json& status = member(answer, "status");
  if (!status.is_object()) return refuse(Code::unavailable, "the API server's TokenReview has no status");
  const Json& authenticated = member(status, "authenticated");
  if (!authenticated.is_boolean() || !authenticated.get<bool>()) {
    const std::string why = text_of(member(status, "error"));
    return refuse(Code::unauthenticated,
                  "the API server does not know this token" + (why.empty() ? "" : ": " + why));
  }
  const Json& audiences = member(status, "audiences");
  if (!audiences.is_array() ||
      std::ranges::none_of(audiences, [](const Json& one) { return text_of(one) == kAudience; })) {
    return refuse(Code::unauthenticated, fmt::format("the token is not for the audience {}", kAudience));
  }
  const Json& user = member(status, "user");
  const std::string name = text_of(member(user, "username"));
  if (name != kAgentUser) {
    return refuse(Code::permission_denied,
                  fmt::format("{} is not {}: only agents are signed for", name, kAgentUser));
  }
  Caller caller{claim(user, kNodeClaim), claim(user, kPodClaim)};
  if (!is_name(caller.node)) {
    return refuse(
        Code::permission_denied,
        fmt::format("the token does not say of which node it is (no {}): it must be one that the kubelet "
                    "projects into a pod, of Kubernetes 1.30 or newer",
                    kNodeClaim));
  }
  return caller;
}

std::optional<CallerOrRefusal> ReviewCache::find(const std::string& token_hash, Clock::time_point now) const {
  const auto found = entries_.find(token_hash);
  if (found == entries_.end() || now - found->second.at >= kKept) return std::nullopt;
  return found->second.judged;
}

void ReviewCache::keep(const std::string& token_hash, CallerOrRefusal judged, Clock::time_point now) {
  if (entries_.size() >= kEntriesMax) {
    std::erase_if(entries_, [&](const auto& entry) { return now - entry.second.at >= kKept; });
  }
  if (entries_.size() >= kEntriesMax)
    return;  // all fresh: better reviewed again than forgotten in whose favour
  entries_.insert_or_assign(token_hash, Entry{std::move(judged), now});
}

}  // namespace weir::agent::controller

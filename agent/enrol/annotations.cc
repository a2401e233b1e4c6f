// Patches of pods. See annotations.h.
#include "agent/enrol/annotations.h"

#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <nlohmann/json.hpp>
#include <utility>

namespace weir::agent {
namespace {

std::string now_text() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  ::gmtime_r(&now, &parts);
  char text[32];
  return {text, std::strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &parts)};
}

std::unexpected<Error> overtaken() {
  return fail(Source::agent, Reason::cancelled, "a later word about the pod overtook it");
}

}  // namespace

PodAnnotations::PodAnnotations(kube::Client& client, const ObjectSource& source, std::string node)
    : client_(client), source_(source), node_(std::move(node)) {}

PodAnnotations::~PodAnnotations() {
  for (const auto& [uid, writing] : writing_) client_.cancel(writing.request);
}

bool PodAnnotations::announced(const Pod& pod) {
  const auto found = pod.meta.annotations.find(kAnnotation);
  return found != pod.meta.annotations.end() && !pod.node.empty() &&
         found->second.starts_with(pod.node + " " + pod.uid() + " ");
}

bool PodAnnotations::read() {
  std::set<std::string> uids, own;
  for (const auto& [name, pod] : source_.objects().pods) {
    if (!announced(pod)) continue;
    uids.insert(pod.uid());
    if (pod.node == node_) own.insert(pod.uid());
  }
  std::erase_if(last_written_, [&](const auto& entry) {
    return !writing_.contains(entry.first) && own.contains(entry.first) == entry.second;
  });
  own_ = std::move(own);
  const bool changed = uids != uids_;
  uids_ = std::move(uids);
  return changed;
}

const Pod* PodAnnotations::find(const std::string& uid) const {
  const auto& pods = source_.objects().pods;
  const auto found = std::ranges::find_if(pods, [&](const auto& entry) { return entry.second.uid() == uid; });
  return found == pods.end() ? nullptr : &found->second;
}

void PodAnnotations::announce(const LocalPodSpec& pod, Done done) {
  // An agent that starts again need not write what is there.
  const Pod* shown = find(pod.uid);
  if (shown != nullptr && announced(*shown) && !last_written_.contains(pod.uid) &&
      !writing_.contains(pod.uid)) {
    return done({});
  }
  say(pod.uid, pod.name, {true, std::move(done)});
}

void PodAnnotations::withdraw(const std::string& uid, Done done) {
  const Pod* pod = find(uid);
  const auto writing = writing_.find(uid);
  if (pod == nullptr) {
    if (writing != writing_.end()) {
      client_.cancel(writing->second.request);
      writing_.erase(writing);
    }
    last_written_.erase(uid);
    return done({});
  }
  if (!announced(*pod) && !last_written_.contains(uid) && writing == writing_.end()) return done({});
  say(uid, pod->meta.key(), {false, std::move(done)});
}

void PodAnnotations::say(const std::string& uid, const ObjectName& pod, Word word) {
  const auto [entry, is_new] = writing_.try_emplace(uid);
  Writing& writing = entry->second;
  writing.pod = pod;
  if (is_new) {
    writing.now = std::move(word);
    return write(uid);
  }
  auto before = std::exchange(writing.next, std::move(word));
  if (before) before->done(overtaken());
}

void PodAnnotations::write(const std::string& uid) {
  Writing& writing = writing_.at(uid);
  const bool announce = writing.now.announce;
  nlohmann::json value;  // null: the annotation goes
  if (announce) value = fmt::format("{} {} {}", node_, uid, now_text());
  const nlohmann::json patch{{"metadata", {{"uid", uid}, {"annotations", {{kAnnotation, value}}}}}};
  last_written_[uid] = announce;
  writing.request =
      client_.request("PATCH", fmt::format("/api/v1/namespaces/{}/pods/{}", writing.pod.ns, writing.pod.name),
                      "application/merge-patch+json", patch.dump(),
                      [this, uid](Result<kube::Answer> result) { written(uid, std::move(result)); });
}

void PodAnnotations::written(const std::string& uid, Result<kube::Answer> result) {
  const auto found = writing_.find(uid);
  if (found == writing_.end()) return;
  const Word word = std::move(found->second.now);
  Status status;
  if (!result) {
    status = std::unexpected(result.error());
  } else if (result->status == 404 || result->status == 409) {
    // Gone, or another pod has its name.
    if (word.announce)
      status = fail(Source::agent, Reason::pod_removed, "the pod is gone from the API server");
  } else if (result->status != 200) {
    const auto body = nlohmann::json::parse(result->body, nullptr, false);
    const std::string why = body.is_object() ? body.value("message", "") : "";
    status = fail(Source::agent, Reason::refused,
                  fmt::format("annotating pod {}: {} {}", found->second.pod.text(), result->status, why));
  }
  if (found->second.next) {
    found->second.now = *std::exchange(found->second.next, std::nullopt);
    write(uid);
  } else {
    writing_.erase(found);
  }
  word.done(status);
}

}  // namespace weir::agent

// What each question waits for. See cni.h.
#include "agent/enrol/cni.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "agent/cni/enrolled_file.h"
#include "agent/loop/files.h"
#include "nodeproxy/base/log.h"

namespace weir::agent {
namespace {

constexpr auto kFileRetry = std::chrono::seconds(2);

const char* label(cni::Verdict verdict) {
  switch (verdict) {
    case cni::Verdict::captured: return "captured";
    case cni::Verdict::not_enrolled: return "not_enrolled";
    case cni::Verdict::refused: break;
  }
  return "refused";
}

// The pod's own label decides alone; without one the namespace must be known.
bool decides(const Pod& pod) {
  const auto label = pod.meta.labels.find(kMeshLabel);
  return label != pod.meta.labels.end() && (label->second == "enabled" || label->second == "disabled");
}

}  // namespace

Cni::Cni(Loop& loop, NetnsFinder& finder, Options options, Hooks hooks)
    : loop_(loop), finder_(finder), options_(std::move(options)), hooks_(std::move(hooks)) {}

Cni::~Cni() {
  loop_.cancel(look_timer_);
  loop_.cancel(file_timer_);
  for (auto& [id, one] : asked_) loop_.cancel(one.timer);
}

Status Cni::listen() {
  if (options_.socket.empty()) return {};
  CniServer::Events events;
  events.asked = [this](CniServer::Id id, const cni::Question& question) { asked(id, question); };
  events.due = [this](CniServer::Id id) {
    const auto found = asked_.find(id);
    if (found == asked_.end()) return;
    const cni::Question& question = found->second.question;
    const Pod* pod = find_starting(hooks_.objects(), {question.ns, question.name}, question.uid);
    const auto status = pod == nullptr ? std::nullopt : hooks_.pod(pod->uid());
    answer(id, cni::Verdict::refused, true,
           !status                               ? std::string("the pod cannot be captured yet")
           : status->state == PodState::captured ? "the pod is captured, and not yet announced to its peers"
           : status->error.empty() ? fmt::format("the pod is {} still", weir::agent::label(status->state))
                                   : "the pod cannot be captured yet: " + status->error);
  };
  events.gone = [this](CniServer::Id id) { forget(id); };
  server_ = std::make_unique<CniServer>(loop_, options_.socket, std::move(events));
  return server_->listen();
}

void Cni::asked(CniServer::Id id, const cni::Question& question) {
  if (question.command == "DEL") {
    removed(question);
    return server_->answer(id, {cni::Verdict::not_enrolled, false, ""});
  }
  Asked& one = asked_[id];
  one.question = question;
  one.timer = loop_.after(options_.seen_wait, [this, id] {
    const auto found = asked_.find(id);
    if (found == asked_.end()) return;
    found->second.timer = 0;
    found->second.seen_over = true;
    look(id);
  });
  look(id);
}

// The pod's network is about to go. Capture stays until the namespace does: whoever said so may have been too early.
void Cni::removed(const cni::Question& question) {
  const Pod* pod = find_starting(hooks_.objects(), {question.ns, question.name}, question.uid);
  const std::string uid = pod == nullptr ? question.uid : pod->uid();
  // Not when it is the end of a predecessor: then its successor's network was told already.
  if (!finder_.was_given(uid, question.netns)) return;
  finder_.forget(uid);
  starting_.forget(uid);
}

void Cni::look_at_all() {
  std::vector<CniServer::Id> ids;
  ids.reserve(asked_.size());
  for (const auto& [id, one] : asked_) ids.push_back(id);
  for (const auto id : ids) look(id);
}

void Cni::look(CniServer::Id id) {
  const auto found = asked_.find(id);
  if (found == asked_.end()) return;
  Asked& one = found->second;
  const Objects& objects = hooks_.objects();
  const Pod* pod = find_starting(objects, {one.question.ns, one.question.name}, one.question.uid);
  if (pod == nullptr || (!decides(*pod) && !objects.namespaces.contains(pod->meta.ns))) {
    return judge_unseen(id, one);
  }
  if (!wants_mesh(objects, *pod)) return answer(id, cni::Verdict::not_enrolled, false, "");
  if (one.question.command == "ADD" && !std::exchange(one.told, true)) return start(one, *pod);
  const auto status = hooks_.pod(pod->uid());
  if (status && status->refused) return answer(id, cni::Verdict::refused, false, status->error);
  const bool captured = status && status->armed && status->state == PodState::captured;
  if (one.question.command == "CHECK") {
    return answer(id, captured ? cni::Verdict::captured : cni::Verdict::refused, true,
                  captured ? "" : "the pod is enrolled and not captured");
  }
  const auto given = finder_.given(pod->uid());
  const bool this_one = !given.empty() && namespace_id(given) == status.value_or(PodStatus{}).netns;
  const bool announced = status && (status->announced || !status->error.empty());
  if (captured && this_one && announced) answer(id, cni::Verdict::captured, false, "");
}

void Cni::judge_unseen(CniServer::Id id, Asked& one) {
  if (!one.seen_over) return;  // without the source, too: it may be between two watches
  const std::string& ns = one.question.ns;
  if (hooks_.source_connected()) {
    return answer(id, cni::Verdict::refused, true, "the agent has not seen this pod yet");
  }
  const auto listed = cni::read_enrolled(options_.enrolled_file);
  if (listed.may_be_enrolled(ns)) {
    return answer(
        id, cni::Verdict::refused, true,
        fmt::format("namespace {} is enrolled, and the agent cannot reach the API to see this pod", ns));
  }
  answer(id, cni::Verdict::not_enrolled, false,
         "the agent cannot reach the API; the namespace is not enrolled");
}

// Hands the pod to derive and enrolment. Their answer may come within this call.
void Cni::start(Asked& one, const Pod& pod) {
  const std::string uid = one.uid = pod.uid();
  log::info("pod {}: starts, in {}", pod.meta.key().text(), one.question.netns);
  finder_.give(uid, one.question.netns);
  starting_.add(uid, one.question.addresses);
  hooks_.derive();
  hooks_.recheck(uid);
  enrolment_changed();
}

void Cni::answer(CniServer::Id id, cni::Verdict verdict, bool again, std::string message) {
  const auto found = asked_.find(id);
  if (found == asked_.end()) return;
  const cni::Question& question = found->second.question;
  if (verdict == cni::Verdict::refused) {
    log::warn("pod {}/{}: {} is refused: {}", question.ns, question.name, question.command, message);
  }
  hooks_.answered(label(verdict));
  forget(id);
  server_->answer(id, {verdict, again, std::move(message)});
}

void Cni::forget(CniServer::Id id) {
  const auto found = asked_.find(id);
  if (found == asked_.end()) return;
  loop_.cancel(found->second.timer);
  const std::string uid = found->second.uid;
  asked_.erase(found);
  if (!starting_.contains(uid)) finder_.forget(uid);
}

void Cni::settle(const Objects& objects) {
  for (const auto& uid : starting_.settle(objects)) {
    // Once the question is answered, enrolment has found its namespace, and remembers it.
    const auto asks = [&](const auto& entry) { return entry.second.uid == uid; };
    if (std::ranges::none_of(asked_, asks)) finder_.forget(uid);
  }
}

void Cni::objects_changed(const Objects& objects) {
  write_list(objects);
  enrolment_changed();
}

// A little later: whoever calls is in the middle of its own work.
void Cni::enrolment_changed() {
  if (look_timer_ != 0 || asked_.empty()) return;
  look_timer_ = loop_.after(std::chrono::milliseconds(0), [this] {
    look_timer_ = 0;
    look_at_all();
  });
}

std::set<std::string> Cni::enrolled_namespaces(const Objects& objects) {
  std::set<std::string> out;
  if (objects.settings && objects.settings->enrol_nobody) return out;
  const auto enabled = [](const Labels& labels) {
    const auto found = labels.find(kMeshLabel);
    return found != labels.end() && found->second == "enabled";
  };
  for (const auto& [name, ns] : objects.namespaces) {
    if (enabled(ns.meta.labels)) out.insert(name);
  }
  for (const auto& [name, pod] : objects.pods) {
    if (enabled(pod.meta.labels)) out.insert(name.ns);
  }
  out.erase(kWeirNamespace);
  return out;
}

void Cni::write_list(const Objects& objects) {
  if (options_.enrolled_file.empty()) return;
  auto namespaces = enrolled_namespaces(objects);
  if (listed_ == namespaces) return;
  loop_.cancel(std::exchange(file_timer_, 0));
  const auto written = write_atomically(options_.enrolled_file, cni::enrolled_text(namespaces), 0600);
  if (written) {
    listed_ = std::move(namespaces);
    file_error_.clear();
    return;
  }
  listed_.reset();
  file_error_ = written.error().describe();
  log::error("the list of enrolled namespaces: {}", file_error_);
  file_timer_ = loop_.after(kFileRetry, [this] {
    file_timer_ = 0;
    write_list(hooks_.objects());
  });
}

}  // namespace weir::agent

// Starting and joining the agent's parts; what a change of one causes in the others. See app.h; what it tells of itself
// is in app_status.cc, who signs in app_trust.cc.
#include "agent/app.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "agent/app_capture.h"
#include "agent/app_status.h"
#include "agent/enrol/annotations.h"
#include "agent/loop/files.h"
#include "nodeproxy/base/log.h"

namespace weir::agent {
namespace {

constexpr auto kMetricsRefresh = std::chrono::seconds(1);

}  // namespace

App::App(Loop& loop, AgentOptions options) : loop_(loop), options_(std::move(options)) {}
App::~App() = default;

Result<std::unique_ptr<App>> App::start(Loop& loop, AgentOptions options) {
  std::unique_ptr<App> app(new App(loop, std::move(options)));
  if (auto ok = app->open(); !ok) return std::unexpected(ok.error());
  if (auto ok = app->listen(); !ok) return std::unexpected(ok.error());
  return app;
}

Status App::open() {
  auto source = open_source(loop_, options_);
  if (!source) return std::unexpected(source.error());
  source_ = std::move(*source);
  if (auto ok = make_directories(options_.state_dir, 0700); !ok) return ok;

  finder_ = std::make_unique<NetnsFinder>(finder_options(options_));
  RedirectOptions redirect = redirect_options(options_, *finder_);
  const auto own = cgroup_of_pid(::getpid(), options_.cgroup_root);
  if (!own) return std::unexpected(own.error());
  redirect.agent_cgroup_id = own->id;
  if (own->path == "/") log::warn("the agent runs in the cgroup v2 root: give it a cgroup of its own");
  auto opened = Redirect::open(redirect);
  if (!opened) return std::unexpected(opened.error());
  redirect_ = std::move(*opened);
  capture_ = std::make_unique<RedirectCapture>(*redirect_);

  if (auto ok = open_ca(); !ok) return ok;
  return open_announcements();
}

Status App::open_announcements() {
  if (options_.kubernetes) {
    announcements_ = std::make_unique<PodAnnotations>(*source_.client, *source_.source, options_.node);
    return {};
  }
  auto opened = SharedDirectory::open(options_.shared_dir, options_.node);
  if (!opened) return std::unexpected(opened.error());
  announcements_ = std::make_unique<SharedDirectory>(std::move(*opened));
  shared_watch_ = std::make_unique<DirectoryWatch>(
      loop_, options_.shared_dir / "captured", [this](const auto&, bool) { announcements_changed(); }, false,
      std::chrono::milliseconds(10));
  return {};
}

Status App::listen() {
  server_ = std::make_unique<ProxyServer>(
      loop_,
      ProxyServer::Options{options_.proxy_socket, options_.node, [this](pid_t pid) { return admit(pid); }},
      proxy_events());
  fanout_ = std::make_unique<PodFanout>(*server_);
  PodChannel channel;
  channel.connected = [this] { return fanout_->connected(); };
  channel.offer = [this](const PodDescriptors& pod) { return fanout_->offer(pod); };
  channel.gone = [this](const std::string& uid, bool removed) { return fanout_->gone(uid, removed); };
  enrolment_ =
      std::make_unique<Enrolment>(loop_, *capture_, *announcements_, std::move(channel), enrolment_options());
  if (auto ok = open_cni(); !ok) return ok;

  // Watches first, then the first reading: nothing between is missed.
  if (ca_) {
    ca_watch_ = std::make_unique<DirectoryWatch>(loop_, options_.ca_dir,
                                                 [this](const auto&, bool) { trust_changed(); });
  }
  netns_watch_ = std::make_unique<DirectoryWatch>(
      loop_, options_.netns_dir, [this](const auto&, bool) { enrolment_->retry_waiting(); }, true);
  route_watch_ = std::make_unique<RouteWatch>(loop_, [this](const std::string& uid) {
    for (const auto& pod : enrolment_->status()) {
      if (pod.spec.uid == uid && pod.state == PodState::captured) check_and_mend(pod);
    }
  });
  source_.source->start([this] { source_changed(); });
  reconcile();
  watch_over_capture();
  refresh_metrics();
  return server_->listen();
}

void App::source_changed() {
  auto errors = source_.source->errors();
  for (const auto& error : errors) {
    const bool is_new = std::ranges::find(source_errors_, error) == source_errors_.end();
    if (is_new) log::error("refused, its last good state stays: {}", error.text());
  }
  for (const auto& error : source_errors_) {
    const auto still = [&](const SourceError& now) { return now.file == error.file; };
    if (std::ranges::none_of(errors, still)) log::info("{} is good again, or gone", error.file);
  }
  source_errors_ = std::move(errors);
  announcements_->read();
  derive_again();
}

void App::announcements_changed() {
  if (announcements_->read()) derive_again();
}

void App::derive_again() {
  if (!source_.source->not_synced().empty() || trust_.roots.empty()) return;
  const Objects& objects = source_.source->objects();
  const auto begun = Loop::Clock::now();
  if (!std::exchange(remembered_, true)) cni_->remember(redirect_->known_pods());
  cni_->settle(objects);
  Derived derived = derive(
      {objects, options_.node, options_.trust_domain, announcements_->uids(), trust_, &cni_->addresses()});
  const std::chrono::duration<double> took = Loop::Clock::now() - begun;
  metrics_.set("weir_agent_derive_seconds", took.count());
  for (const auto& note : derived.notes) {
    if (std::ranges::find(notes_, note) == notes_.end()) log::warn("{}: {}", note.object, note.text);
  }
  notes_ = std::move(derived.notes);
  trust_domain_ = derived.trust_domain;
  local_pods_ = std::move(derived.local_pods);
  resources_ = std::make_shared<const Resources>(std::move(derived.resources));

  std::set<std::string> alive;
  for (const auto& [name, pod] : objects.pods) {
    if (pod.node == options_.node && !pod.ended()) alive.insert(pod.uid());
  }
  // Words before deeds: what the proxy is told of a new pod precedes the pod, and a withdrawn announcement is on disk
  // before the proxy hears that the pod is no peer.
  server_->publish(resources_);
  enrolment_->set_wanted(local_pods_, alive);
  cni_->objects_changed(objects);
  forget_certificates();
}

Result<uint64_t> App::admit(int pid) {
  const auto cgroup = cgroup_of_pid(pid, options_.cgroup_root);
  if (!cgroup) return std::unexpected(cgroup.error());
  const auto refuse = [&](std::string why) {
    metrics_.add("weir_agent_proxy_refused_total");
    return fail(Source::agent, Reason::bad_config, fmt::format("process {} {}", pid, why));
  };
  if (cgroup->path == "/") {
    return refuse(
        "is in the cgroup v2 root, where its sockets cannot be told from applications': give it its own");
  }
  for (const int other : cgroup->other_pids) {
    if (is_keeper_of(other, pid)) continue;
    return refuse(
        fmt::format("shares cgroup {} with process {}: give it a cgroup of its own", cgroup->path, other));
  }
  if (auto ok = redirect_->add_proxy_cgroup(cgroup->id); !ok) {
    metrics_.add("weir_agent_proxy_refused_total");
    return std::unexpected(ok.error());
  }
  proxy_cgroups_.insert(cgroup->id);
  return cgroup->id;
}

ProxyEvents App::proxy_events() {
  ProxyEvents events;
  events.on_hello = [this](ProxyLink& link) {
    log::info("proxy {} said hello, process {}, {} workers", link.version(), link.pid(), link.workers());
    // A predecessor's cgroup whose process is gone exempts nobody any more.
    std::erase_if(proxy_cgroups_, [&](uint64_t id) {
      if (id == link.cgroup_id() || server_->has_link_of_cgroup(id)) return false;
      return redirect_->remove_proxy_cgroup(id).has_value();
    });
  };
  events.on_synced = [this](ProxyLink& link) {
    log::info("proxy has its configuration, version {}", link.sync().applied_version());
    enrolment_->proxy_synced([&link](const PodDescriptors& pod) { return link.send_pod(pod); });
  };
  events.on_old_listeners = [this](ProxyLink&, GivenBack given) {
    enrolment_->old_listeners(std::move(given));
  };
  events.on_pod_accepting = [this](ProxyLink&, const std::string& uid) { enrolment_->accepting(uid); };
  events.on_pod_released = [this](ProxyLink& link, const std::string& uid) {
    if (fanout_->released(link, uid)) enrolment_->released(uid);
  };
  events.on_certificate_request = [this](ProxyLink& link, const std::string& identity,
                                         const std::string& csr) { sign(link.id(), identity, csr); };
  events.on_ack = [this](ProxyLink& link, const Sync::Outcome& outcome) {
    if (!outcome.applied && outcome.error.empty()) return;
    metrics_.add("weir_agent_config_acks_total", 1, {{"result", outcome.applied ? "applied" : "refused"}});
    if (outcome.applied) return;
    if (outcome.quarantined) {
      log::error("the proxy refused {}, which is quarantined: {}", outcome.quarantined->text(),
                 outcome.error);
    } else {
      log::error("the proxy refused update {} and names no object that could be held back: {}",
                 link.sync().sent_version(), outcome.error);
    }
  };
  events.on_gone = [this](ProxyLink& link, const std::string&) {
    for (const std::string& uid : fanout_->left(link)) enrolment_->released(uid);
    if (server_->active() == nullptr) enrolment_->proxy_gone();
  };
  return events;
}

void App::sign(uint64_t link_id, const std::string& identity, const std::string& csr) {
  const auto answer = [this, link_id](auto&& with) {
    if (ProxyLink* link = server_->link(link_id)) with(*link);
  };
  if (!enrolment_->has_identity(identity)) {
    metrics_.add("weir_agent_certificates_total", 1, {{"result", "refused"}});
    log::warn("a certificate for {} was refused: no pod of this node bears that identity", identity);
    return answer([&](ProxyLink& link) {
      link.send_certificate_refused(identity, "no pod of this node bears that identity", false);
    });
  }
  signer().sign(identity, csr, [this, identity, answer](Result<IssuedCertificate> issued) {
    metrics_.add("weir_agent_certificates_total", 1, {{"result", issued ? "issued" : "failed"}});
    if (!issued) {
      const bool retry = issued.error().source != Source::peer;
      log::error("a certificate for {}: {}", identity, issued.error().describe());
      return answer([&](ProxyLink& link) {
        link.send_certificate_refused(identity, issued.error().describe(), retry);
      });
    }
    issued_until_[identity] = issued->not_after;
    answer([&](ProxyLink& link) { link.send_certificate(identity, issued->chain); });
  });
}

void App::forget_certificates() {
  std::erase_if(issued_until_, [this](const auto& entry) { return !enrolment_->has_identity(entry.first); });
}

void App::refresh_metrics() {
  loop_.after(kMetricsRefresh, [this] { refresh_metrics(); });
  source_.source->tell_metrics(
      [this](const char* name, double value, const Labels& labels) { metrics_.set(name, value, labels); });
  metrics_.set("weir_agent_source_errors", static_cast<double>(source_errors_.size()));
  metrics_.set("weir_agent_notes", static_cast<double>(notes_.size()));
  metrics_.set("weir_agent_trust_version", static_cast<double>(trust_.version));
  metrics_.set("weir_agent_trust_errors", trust_error_.empty() ? 0 : 1);

  std::map<std::string, int> kinds;
  for (const auto& [id, bytes] : resources_ ? *resources_ : Resources())
    ++kinds[id.text().substr(0, id.text().find(' '))];
  metrics_.clear("weir_agent_resources");
  for (const auto& [kind, count] : kinds) metrics_.set("weir_agent_resources", count, {{"kind", kind}});

  const ProxyLink* link = server_->active();
  metrics_.set("weir_agent_proxy_connected", link != nullptr && link->synced() ? 1 : 0);
  if (link != nullptr && link->said_hello()) {
    metrics_.set("weir_agent_config_version", static_cast<double>(link->sync().sent_version()));
    metrics_.set("weir_agent_config_applied_version", static_cast<double>(link->sync().applied_version()));
    metrics_.set("weir_agent_quarantined_objects", static_cast<double>(link->sync().quarantine().size()));
  }
  metrics_.clear("weir_agent_certificate_not_after_seconds");
  for (const auto& [identity, until] : issued_until_) {
    metrics_.set("weir_agent_certificate_not_after_seconds", static_cast<double>(until),
                 {{"identity", identity}});
  }
  std::map<PodState, int> states;
  int errors = 0;
  for (const auto& pod : enrolment_->status()) {
    ++states[pod.state];
    errors += pod.error.empty() ? 0 : 1;
  }
  for (const PodState state : kPodStates)
    metrics_.set("weir_capture_pods", states[state], {{"state", label(state)}});
  metrics_.set("weir_capture_pod_errors", errors);
  refresh_capture_counters(*redirect_, metrics_);
  refresh_cni_metrics();
}

}  // namespace weir::agent

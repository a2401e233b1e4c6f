// What the agent tells of itself: /status and /check as JSON, readiness, the counters of capture. See app.h.
#include "agent/app_status.h"

#include <fmt/format.h>

#include <ctime>
#include <nlohmann/json.hpp>

#include "agent/app.h"
#include "agent/identity/authority.h"
#include "agent/why.h"
#include "nodeproxy/config/mesh.pb.h"

namespace weir::agent {
namespace {

using Json = nlohmann::ordered_json;

const char* word(const ResourceId& id, Sync::StandIn stand_in) {
  switch (stand_in) {
    case Sync::StandIn::last_good: return "its last good form";
    case Sync::StandIn::invalid:
      return id.kind == mesh::v1::ROUTES
                 ? "a table that answers every request with 500"
                 : "an invalid policy: its Allow matches nothing, its Deny everything";
    case Sync::StandIn::left_out: break;
  }
  return "nothing";
}

int64_t unix_seconds(const ASN1_TIME* time) {
  std::tm parts{};
  ASN1_TIME_to_tm(time, &parts);
  return ::timegm(&parts);
}

}  // namespace

Json App::cni_status() const {
  Json cni;
  cni["socket"] = options_.cni_socket;
  cni["waiting"] = cni_->waiting();
  cni["list_error"] = cni_->file_error();
  cni["installed"] = cni_install_ != nullptr;
  if (cni_install_ != nullptr) {
    cni["primary"] = cni_install_->primary();
    cni["error"] = cni_install_->error();
    cni["repairs"] = cni_install_->repairs();
  }
  return cni;
}

Json App::trust_status() const {
  Json trust;
  trust["domain"] = trust_domain_;
  trust["version"] = trust_.version;
  trust["error"] = controller_ ? controller_->trouble() : trust_error_;
  trust["roots"] = Json::array();
  for (const auto& der : controller_ ? trust_.roots : std::vector<std::string>()) {
    trust["roots"].push_back({{"id", sha256_hex(der).value_or("").substr(0, 16)},
                              {"not_after", not_after_of(der).value_or(0)},
                              {"has_key", false},
                              {"signs", false}});
  }
  static const std::vector<Root> none;
  const std::vector<Root>& own_roots = ca_ ? ca_->roots() : none;
  const Root* signing = signing_root(own_roots, std::time(nullptr));
  for (const auto& root : own_roots) {
    trust["roots"].push_back({{"id", root.id},
                              {"not_after", unix_seconds(X509_get0_notAfter(root.certificate.get()))},
                              {"has_key", root.key != nullptr},
                              {"signs", &root == signing}});
  }
  return trust;
}

std::string App::status_json() const {
  Json out;
  out["version"] = WEIR_VERSION;
  out["node"] = options_.node;
  out["pid"] = ::getpid();
  const std::string missing = not_ready();
  out["ready"] = missing.empty();
  out["not_ready"] = missing;
  out["pods"] = Json::array();
  for (const auto& pod : enrolment_->status()) {
    const auto issued = issued_until_.find(pod.spec.identity);
    out["pods"].push_back({{"uid", pod.spec.uid},
                           {"name", pod.spec.name.text()},
                           {"identity", pod.spec.identity},
                           {"mode", word(pod.spec.mode)},
                           {"state", label(pod.state)},
                           {"armed", pod.armed},
                           {"accepting", pod.accepting},
                           {"announced", pod.announced},
                           {"addresses", pod.spec.addresses},
                           {"netns", pod.spec.netns},
                           {"netns_path", pod.netns_path.string()},
                           {"refused", pod.refused},
                           {"found", label(pod.found)},
                           {"older_connections_ended", pod.older_ended},
                           {"older_connections_left", pod.older_left},
                           {"certificate_not_after", issued == issued_until_.end() ? 0 : issued->second},
                           {"error", pod.error}});
  }
  out["cni"] = cni_status();
  const ProxyLink* link = server_->active();
  Json& proxy = out["proxy"];
  proxy["connected"] = link != nullptr;
  Json quarantine = Json::array();
  if (link != nullptr) {
    proxy["pid"] = link->pid();
    proxy["version"] = link->version();
    proxy["workers"] = link->workers();
    proxy["sent_version"] = link->sync().sent_version();
    proxy["applied_version"] = link->sync().applied_version();
    for (const auto& [id, entry] : link->sync().quarantine()) {
      quarantine.push_back(
          {{"object", id.text()}, {"error", entry.error}, {"stands_in", word(id, entry.stand_in)}});
    }
  }
  out["quarantine"] = std::move(quarantine);
  Json& source = out["source"];
  source = Json::parse(source_.source->status_json());
  source["errors"] = Json::array();
  for (const auto& error : source_errors_) {
    source["errors"].push_back({{"file", error.file}, {"line", error.line}, {"reason", error.reason}});
  }
  source["notes"] = Json::array();
  for (const auto& note : notes_) source["notes"].push_back({{"object", note.object}, {"text", note.text}});
  out["trust"] = trust_status();
  // Names come from YAML and may hold any bytes: never throw over them.
  return out.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::vector<PodCheck> App::check_all() {
  std::vector<PodCheck> out;
  for (const auto& pod : enrolment_->status()) {
    if (pod.state == PodState::leaving || pod.state == PodState::draining) continue;
    PodCheck& check = out.emplace_back(PodCheck{pod.spec.uid, pod.spec.name.text(), true, {}});
    if (pod.state == PodState::captured || pod.armed) check.checks = redirect_->check(pod.spec.uid);
    const bool enrolled = pod.state == PodState::captured && pod.announced;
    check.checks.push_back(
        {"enrolled", enrolled,
         enrolled ? "captured and announced" : fmt::format("{}: {}", label(pod.state), pod.error)});
    check.checks.push_back({"proxy_accepts", pod.accepting,
                            pod.accepting ? "every worker of the proxy accepts on its listeners"
                                          : "no proxy accepts on its listeners: connections wait"});
    for (const auto& one : check.checks) check.ok = check.ok && one.ok;
  }
  return out;
}

std::string App::check_json() {
  Json out{{"ok", true}, {"node", options_.node}, {"pods", Json::array()}};
  for (const auto& pod : check_all()) {
    Json checks = Json::array();
    for (const auto& check : pod.checks) {
      checks.push_back({{"name", check.name}, {"ok", check.ok}, {"detail", check.detail}});
    }
    if (!pod.ok) out["ok"] = false;
    out["pods"].push_back(
        {{"uid", pod.uid}, {"name", pod.name}, {"ok", pod.ok}, {"checks", std::move(checks)}});
  }
  return out.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string App::not_ready() const {
  if (auto waiting = source_.source->not_synced(); !waiting.empty()) return waiting;
  if (trust_.roots.empty()) return "no trust bundle from weir-controller yet";
  const ProxyLink* link = server_->active();
  if (link == nullptr || !link->synced()) return "no proxy has taken its configuration";
  for (const auto& pod : enrolment_->status()) {
    if (pod.state == PodState::leaving || pod.state == PodState::draining) continue;
    if (pod.state != PodState::captured) {
      return fmt::format("pod {} is {}{}{}", pod.spec.name.text(), label(pod.state),
                         pod.error.empty() ? "" : ": ", pod.error);
    }
    if (!pod.accepting) return fmt::format("the proxy does not accept for pod {} yet", pod.spec.name.text());
  }
  return {};
}

void refresh_capture_counters(const Redirect& redirect, Metrics& metrics) {
  const RedirectCounters now = redirect.counters();
  for (const auto& [event, value] : {std::pair{"connect_captured", now.connects_captured},
                                     {"connect_refused", now.connects_refused},
                                     {"connect_device_cleared", now.connects_device_cleared},
                                     {"connect_device_refused", now.connects_device_refused},
                                     {"connect_own_address", now.connects_own_address},
                                     {"bind_refused", now.binds_refused},
                                     {"steered_outbound", now.steered_outbound},
                                     {"steered_inbound", now.steered_inbound},
                                     {"steered_exempt", now.steered_exempt},
                                     {"dropped_no_listener", now.dropped_no_listener},
                                     {"dropped_closed_port", now.dropped_closed_port},
                                     {"dropped_listener_port", now.dropped_listener_port},
                                     {"exempt_added", now.exempt_added},
                                     {"exempt_removed", now.exempt_removed},
                                     {"exempt_failed", now.exempt_failed},
                                     {"listen_up", now.listen_up},
                                     {"listen_down", now.listen_down},
                                     {"listen_failed", now.listen_failed}}) {
    metrics.set("weir_capture_events_total", static_cast<double>(value), {{"event", event}});
  }
  for (const auto& [kind, value] : {std::pair{"exempt", now.exempt_entries},
                                    {"listening_ports", now.listening_ports},
                                    {"pods_armed", now.pods_armed}}) {
    metrics.set("weir_capture_entries", static_cast<double>(value), {{"kind", kind}});
  }
}

}  // namespace weir::agent

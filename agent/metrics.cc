// The table of metrics and their text. See metrics.h.
#include "agent/metrics.h"

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <utility>
#include <vector>

namespace weir::agent {
namespace {

constexpr bool kGauge = false, kCounter = true;
constexpr DescribedMetric kTable[] = {
    {"weir_build_info", kGauge, "Always 1; the version is in the labels."},
    {"weir_agent_source_files", kGauge, "YAML files in the source directory."},
    {"weir_agent_source_errors", kGauge, "Files refused now; their last good state counts. See /status."},
    {"weir_agent_source_reads_total", kCounter, "Readings of the source directory that found a change."},
    {"weir_agent_kube_connected", kGauge,
     "1 while the watch of a kind at the API server is open; what was known stays without it."},
    {"weir_agent_kube_installed", kGauge, "0 while the API server does not know a kind."},
    {"weir_agent_kube_objects", kGauge, "Objects of a kind that the API server has."},
    {"weir_agent_kube_lists_total", kCounter, "Lists read completely, by kind."},
    {"weir_agent_kube_watches_total", kCounter, "Watches begun, by kind."},
    {"weir_agent_kube_events_total", kCounter, "Events received, bookmarks too, by kind."},
    {"weir_agent_kube_failures_total", kCounter,
     "Lists and watches that failed, by kind; they are tried again."},
    {"weir_agent_kube_empty_lists_total", kCounter,
     "Lists that came out empty where there were objects; they are believed when read twice."},
    {"weir_agent_kube_empty_list_doubted", kGauge,
     "1 while an empty list is not believed and what was before it is kept."},
    {"weir_agent_kube_received_bytes_total", kCounter, "Bytes that the API server sent."},
    {"weir_agent_notes", kGauge,
     "Objects accepted that do not resolve, such as a targetRef to nothing. See /status."},
    {"weir_agent_derive_seconds", kGauge, "How long the last derivation of the configuration took."},
    {"weir_agent_resources", kGauge, "Resources of the configuration, by kind."},
    {"weir_agent_config_version", kGauge, "Version of the last update sent to the proxy."},
    {"weir_agent_config_applied_version", kGauge, "Version of the last update the proxy applied."},
    {"weir_agent_config_acks_total", kCounter, "Updates the proxy applied or refused."},
    {"weir_agent_quarantined_objects", kGauge,
     "Objects the proxy refused, replaced by their last good form."},
    {"weir_agent_proxy_connected", kGauge, "1 while a proxy is connected and has its configuration."},
    {"weir_agent_proxy_refused_total", kCounter, "Processes on the proxy's socket that were not admitted."},
    {"weir_agent_certificates_total", kCounter, "Certificate requests by result."},
    {"weir_agent_certificate_not_after_seconds", kGauge,
     "When the last certificate of an identity expires, Unix time."},
    {"weir_agent_trust_version", kGauge, "Version of the trust bundle."},
    {"weir_agent_trust_errors", kGauge, "1 while the CA directory cannot be read; the bundle before stays."},
    {"weir_agent_root_not_after_seconds", kGauge, "When a root of the bundle expires, Unix time."},
    {"weir_capture_pods", kGauge, "Pods of this node in the mesh, by state of their enrolment."},
    {"weir_capture_pod_errors", kGauge, "Pods whose enrolment last failed; it is tried again. See /status."},
    {"weir_capture_check_failed", kGauge,
     "Pods for which a check of capture failed at the last round, by check."},
    {"weir_capture_events_total", kCounter, "What the BPF programs did, by kind (bpf/README.md)."},
    {"weir_capture_entries", kGauge, "Entries of the BPF maps, by kind."},
    {"weir_capture_found_total", kCounter,
     "Captures by how the pod was found: starting (CNI plugin), running, uncaptured at the agent's start, "
     "whole, broken."},
    {"weir_capture_older_connections_total", kCounter,
     "Connections older than their pod's capture, by what became of them: ended or left."},
    {"weir_agent_cni_answers_total", kCounter, "Starting pods the CNI plugin asked about, by verdict."},
    {"weir_agent_cni_waiting", kGauge, "Starting pods that wait for their capture now."},
    {"weir_agent_cni_errors", kGauge,
     "Errors about the CNI plugin now: its installation, the list of enrolled namespaces. See /status."},
    {"weir_agent_cni_repairs", kGauge,
     "How often the CNI configuration was put back after somebody else removed or changed it."},
    {"weir_capture_reconciled_total", kCounter,
     "Map entries corrected against the kernel's sockets, by kind."},
};

}  // namespace

std::span<const DescribedMetric> agent_metrics() { return kTable; }

Metrics::Metrics(const std::string& component, std::span<const DescribedMetric> table) : table_(table) {
  for (const auto& described : table_) values_[described.name];
  set("weir_build_info", 1, {{"component", component}, {"version", WEIR_VERSION}});
}

void Metrics::set(const std::string& name, double value, const Labels& labels) {
  const std::lock_guard lock(mutex_);
  values_.at(name)[labels] = value;  // a name that is not in the table is a bug: std::terminate by exception
}

void Metrics::add(const std::string& name, double value, const Labels& labels) {
  const std::lock_guard lock(mutex_);
  values_.at(name)[labels] += value;
}

void Metrics::clear(const std::string& name) {
  const std::lock_guard lock(mutex_);
  values_.at(name).clear();
}

double Metrics::get(const std::string& name, const Labels& labels) const {
  const std::lock_guard lock(mutex_);
  const auto& family = values_.at(name);
  const auto found = family.find(labels);
  return found == family.end() ? 0 : found->second;
}

std::string Metrics::text() const {
  std::vector<prometheus::MetricFamily> families;
  const std::lock_guard lock(mutex_);
  for (const auto& described : table_) {
    const auto& values = values_.at(described.name);
    if (values.empty()) continue;
    const auto type = described.counter ? prometheus::MetricType::Counter : prometheus::MetricType::Gauge;
    prometheus::MetricFamily family{described.name, described.help, type, {}};
    for (const auto& [labels, value] : values) {
      prometheus::ClientMetric metric;
      for (const auto& [label, word] : labels) metric.label.push_back({label, word});
      (described.counter ? metric.counter.value : metric.gauge.value) = value;
      family.metric.push_back(std::move(metric));
    }
    families.push_back(std::move(family));
  }
  return prometheus::TextSerializer().Serialize(families);
}

}  // namespace weir::agent

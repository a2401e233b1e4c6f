// What the agent's own numbers are. See metrics_table.h.
#include "agent/metrics_table.h"

namespace weir::agent {
namespace {

constexpr DescribedMetric kTable[] = {
    {"weir_agent_source_files", false, "YAML files in the source directory."},
    {"weir_agent_source_errors", false, "Files refused now; their last good state counts. See /status."},
    {"weir_agent_source_reads_total", true, "Readings of the source directory that found a change."},
    {"weir_agent_kube_connected", false,
     "1 while the watch of a kind at the API server is open; what was known stays without it."},
    {"weir_agent_kube_installed", false, "0 while the API server does not know a kind."},
    {"weir_agent_kube_objects", false, "Objects of a kind that the API server has."},
    {"weir_agent_kube_lists_total", true, "Lists read completely, by kind."},
    {"weir_agent_kube_watches_total", true, "Watches begun, by kind."},
    {"weir_agent_kube_events_total", true, "Events received, bookmarks too, by kind."},
    {"weir_agent_kube_failures_total", true,
     "Lists and watches that failed, by kind; they are tried again."},
    {"weir_agent_kube_empty_lists_total", true,
     "Lists that came out empty where there were objects; they are believed when read twice."},
    {"weir_agent_kube_empty_list_doubted", false,
     "1 while an empty list is not believed and what was before it is kept."},
    {"weir_agent_kube_received_bytes_total", true, "Bytes that the API server sent."},
    {"weir_agent_notes", false,
     "Objects accepted that do not resolve, such as a targetRef to nothing. See /status."},
    {"weir_agent_derive_seconds", false, "How long the last derivation of the configuration took."},
    {"weir_agent_resources", false, "Resources of the configuration, by kind."},
    {"weir_agent_config_version", false, "Version of the last update sent to the proxy."},
    {"weir_agent_config_applied_version", false, "Version of the last update the proxy applied."},
    {"weir_agent_config_acks_total", true, "Updates the proxy applied or refused."},
    {"weir_agent_quarantined_objects", false,
     "Objects the proxy refused, replaced by their last good form."},
    {"weir_agent_proxy_connected", false, "1 while a proxy is connected and has its configuration."},
    {"weir_agent_proxy_refused_total", true, "Processes on the proxy's socket that were not admitted."},
    {"weir_agent_certificates_total", true, "Certificate requests by result."},
    {"weir_agent_certificate_not_after_seconds", false,
     "When the last certificate of an identity expires, Unix time."},
    {"weir_agent_trust_version", false, "Version of the trust bundle."},
    {"weir_agent_trust_errors", false, "1 while the CA directory cannot be read; the bundle before stays."},
    {"weir_agent_root_not_after_seconds", false, "When a root of the bundle expires, Unix time."},
    {"weir_capture_pods", false, "Pods of this node in the mesh, by state of their enrolment."},
    {"weir_capture_pod_errors", false, "Pods whose enrolment last failed; it is tried again. See /status."},
    {"weir_capture_check_failed", false,
     "Pods for which a check of capture failed at the last round, by check."},
    {"weir_capture_events_total", true, "What the BPF programs did, by kind (bpf/README.md)."},
    {"weir_capture_entries", false, "Entries of the BPF maps, by kind."},
    {"weir_capture_found_total", true,
     "Captures by how the pod was found: starting (CNI plugin), running, uncaptured at the agent's start, "
     "whole, broken."},
    {"weir_capture_older_connections_total", true,
     "Connections older than their pod's capture, by what became of them: ended or left."},
    {"weir_agent_cni_answers_total", true, "Starting pods the CNI plugin asked about, by verdict."},
    {"weir_agent_cni_waiting", false, "Starting pods that wait for their capture now."},
    {"weir_agent_cni_errors", false,
     "Errors about the CNI plugin now: its installation, the list of enrolled namespaces. See /status."},
    {"weir_agent_cni_repairs", false,
     "How often the CNI configuration was put back after somebody else removed or changed it."},
    {"weir_capture_reconciled_total", true,
     "Map entries corrected against the kernel's sockets, by kind."},
};

}  // namespace

std::span<const DescribedMetric> agent_metrics() { return kTable; }

}  // namespace weir::agent

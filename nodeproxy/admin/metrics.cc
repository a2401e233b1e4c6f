// The metrics of reports.h: rows of all workers summed by label set, in the names of http.md.
#include <map>

#include "nodeproxy/admin/families.h"
#include "nodeproxy/admin/reports.h"

namespace weir::admin {
namespace {

void merge(telemetry::Row& into, const telemetry::Row& row) {
  into.labels = row.labels;
  into.opened += row.opened;
  into.closed += row.closed;
  into.sent_bytes += row.sent_bytes;
  into.received_bytes += row.received_bytes;
  for (size_t i = 0; i < row.failed.size(); ++i) into.failed[i] += row.failed[i];
  for (size_t i = 0; i < row.durations.size(); ++i) into.durations[i] += row.durations[i];
  into.duration_sum_seconds += row.duration_sum_seconds;
}

void add_duration(Families& families, const MetricLabels& labels, const telemetry::Row& row) {
  std::vector<uint64_t> cumulative;
  cumulative.reserve(row.durations.size());
  uint64_t sum = 0;
  for (const uint64_t count : row.durations) cumulative.push_back(sum += count);
  families.histogram("weir_tcp_connection_duration_seconds", "How long closed connections lived.", labels,
                     {telemetry::kDurationBounds.begin(), telemetry::kDurationBounds.end()}, cumulative, sum,
                     row.duration_sum_seconds);
}

void add_connections(Families& families, const std::vector<telemetry::WorkerReport>& workers) {
  std::map<std::vector<std::string>, telemetry::Row> rows;
  for (const telemetry::WorkerReport& worker : workers) {
    for (const telemetry::Row& row : worker.rows) merge(rows[key_of(labels_of(row.labels, "tcp"))], row);
  }
  for (const auto& [key, row] : rows) {
    const MetricLabels labels = labels_of(row.labels, "tcp");
    families.counter("weir_tcp_connections_opened_total", "Connections that reached their other side.",
                     labels, row.opened);
    families.counter("weir_tcp_connections_closed_total", "Opened connections that have ended.", labels,
                     row.closed);
    families.counter("weir_tcp_sent_bytes_total", "Bytes from client to server.", labels, row.sent_bytes);
    families.counter("weir_tcp_received_bytes_total", "Bytes from server to client.", labels,
                     row.received_bytes);
    if (row.closed > 0) add_duration(families, labels, row);
    for (size_t i = 0; i < row.failed.size(); ++i) {
      if (row.failed[i] == 0) continue;
      auto with_reason = labels;
      with_reason.push_back({"reason", std::string(label(static_cast<Reason>(i)))});
      families.counter("weir_tcp_connections_failed_total",
                       "Connections that did not reach their other side.", with_reason, row.failed[i]);
    }
  }
}

void add_handshakes(Families& families, const std::vector<telemetry::WorkerReport>& workers) {
  telemetry::WorkerCounters sum;
  telemetry::WorkerReport now;
  for (const telemetry::WorkerReport& worker : workers) {
    const telemetry::WorkerCounters& one = worker.counters;
    sum.handshakes_full_client += one.handshakes_full_client;
    sum.handshakes_full_server += one.handshakes_full_server;
    sum.handshakes_resumed_client += one.handshakes_resumed_client;
    sum.handshakes_resumed_server += one.handshakes_resumed_server;
    for (size_t i = 0; i < sum.handshakes_failed.size(); ++i)
      sum.handshakes_failed[i] += one.handshakes_failed[i];
    sum.chains_known += one.chains_known;
    sum.chains_followed += one.chains_followed;
    sum.lanes_opened += one.lanes_opened;
    for (size_t i = 0; i < sum.lanes_closed.size(); ++i) sum.lanes_closed[i] += one.lanes_closed[i];
    sum.sessions_opened += one.sessions_opened;
    sum.audits += one.audits;
    sum.turns += one.turns;
    sum.connections_handed_over += one.connections_handed_over;
    now.live_flows += worker.live_flows;
    now.lanes_dialled += worker.lanes_dialled;
    now.lanes_accepted += worker.lanes_accepted;
    now.sessions_dialled += worker.sessions_dialled;
    now.sessions_accepted += worker.sessions_accepted;
  }
  const auto handshake = [&](const char* role, const char* kind, uint64_t count) {
    families.counter("weir_tls_handshakes_total", "mTLS handshakes completed.",
                     {{"role", role}, {"kind", kind}}, count);
  };
  handshake("client", "full", sum.handshakes_full_client);
  handshake("client", "resumed", sum.handshakes_resumed_client);
  handshake("server", "full", sum.handshakes_full_server);
  handshake("server", "resumed", sum.handshakes_resumed_server);
  for (size_t i = 0; i < sum.handshakes_failed.size(); ++i) {
    if (sum.handshakes_failed[i] == 0) continue;
    families.counter("weir_tls_handshakes_failed_total", "mTLS handshakes that failed.",
                     {{"reason", std::string(label(static_cast<Reason>(i)))}}, sum.handshakes_failed[i]);
  }
  const char* chains_help = "Certificate chains of peers judged: known from before, or followed to a root.";
  families.counter("weir_tls_chains_total", chains_help, {{"how", "known"}}, sum.chains_known);
  families.counter("weir_tls_chains_total", chains_help, {{"how", "followed"}}, sum.chains_followed);
  families.counter("weir_lanes_opened_total", "Lanes opened, both roles.", {}, sum.lanes_opened);
  for (size_t i = 0; i < sum.lanes_closed.size(); ++i) {
    const auto why = static_cast<Reason>(i);
    if (sum.lanes_closed[i] == 0 && why != Reason::none) continue;
    families.counter("weir_lanes_closed_total", "Lanes closed, both roles.",
                     {{"reason", std::string(label(why))}}, sum.lanes_closed[i]);
  }
  families.counter("weir_sessions_opened_total", "Sessions opened on lanes, both roles.", {},
                   sum.sessions_opened);
  families.counter("weir_policy_audits_total", "Audit policies that matched.", {}, sum.audits);
  families.counter("weir_worker_turns_total", "Turns of the workers' loops: wake-ups.", {}, sum.turns);
  families.counter("weir_connections_handed_over_total",
                   "Connections that a worker accepted and one with fewer of its pod's serves.", {},
                   sum.connections_handed_over);
  const auto by_role = [&](const char* name, const char* help, uint64_t dialled, uint64_t accepted) {
    families.gauge(name, help, {{"role", "dialler"}}, static_cast<double>(dialled));
    families.gauge(name, help, {{"role", "acceptor"}}, static_cast<double>(accepted));
  };
  by_role("weir_lanes", "Lanes open.", now.lanes_dialled, now.lanes_accepted);
  by_role("weir_sessions", "Sessions open on lanes.", now.sessions_dialled, now.sessions_accepted);
  families.gauge("weir_flows", "Live flows: connections, and sessions of accepted lanes.", {},
                 static_cast<double>(now.live_flows));
}

void add_limits(Families& families, const std::vector<telemetry::WorkerReport>& workers) {
  for (size_t i = 0; i < telemetry::kSourceLimits.size(); ++i) {
    uint64_t refused = 0;
    for (const telemetry::WorkerReport& worker : workers) refused += worker.source_refusals[i];
    families.counter("weir_source_limit_refusals_total",
                     "What source addresses were refused as they were at a limit.",
                     {{"limit", std::string(telemetry::kSourceLimits[i])}}, refused);
  }
  for (const Reason reason : {Reason::out_of_descriptors, Reason::out_of_memory, Reason::io}) {
    uint64_t pauses = 0;
    for (const telemetry::WorkerReport& worker : workers)
      pauses += worker.accept_pauses[static_cast<size_t>(reason)];
    families.counter("weir_accept_pauses_total",
                     "Pauses of accepting, during which connections wait in the kernel's queue.",
                     {{"reason", std::string(label(reason))}}, pauses);
  }
}

}  // namespace

std::string metrics_text(const ProcessView& view) {
  Families families;
  add_connections(families, view.workers);
  add_requests(families, view.workers);
  add_upstream(families, view.workers);
  add_handshakes(families, view.workers);
  add_limits(families, view.workers);
  for (const CertificateView& certificate : view.certificates) {
    families.gauge(
        "weir_certificate_not_after_seconds", "Unix time at which the certificate in use ends; 0: none.",
        {{"identity", certificate.identity}}, static_cast<double>(certificate.not_after_unix_seconds));
  }
  families.gauge("weir_config_version", "Version of the snapshot in use.", {},
                 static_cast<double>(view.snapshot_version));
  families.gauge("weir_agent_connected", "Whether the agent's socket is connected.", {},
                 view.agent.connected ? 1 : 0);
  families.counter("weir_config_updates_refused_total", "Updates refused whole.", {},
                   view.agent.updates_refused);
  families.counter("weir_access_log_lines_dropped_total", "Access-log lines lost to a full disk or queue.",
                   {}, view.log_lines_dropped);
  for (const auto& pod : view.pods) {
    families.gauge("weir_pod_accepting", "Whether every worker accepts on the pod's listeners.",
                   {{"pod", pod.uid}}, pod.accepting ? 1 : 0);
  }
  families.gauge("weir_ready", "1 when configuration, certificates and capture are in place.", {},
                 view.not_ready_because.empty() ? 1 : 0);
  families.gauge("weir_build_info", "The program.",
                 {{"version", WEIR_VERSION}, {"component", "proxy"}, {"driver", view.driver}}, 1);
  return families.text();
}

}  // namespace weir::admin

// The metrics of reports.h: rows of all workers summed by label set, in the names of http.md.
#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <map>
#include <tuple>

#include "nodeproxy/admin/reports.h"

namespace weir::admin {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

class Families {
 public:
  void add(const std::string& name, MetricType type, const std::string& help, ClientMetric metric) {
    MetricFamily& family = families_[name];
    family.name = name;
    family.type = type;
    family.help = help;
    family.metric.push_back(std::move(metric));
  }
  void counter(const std::string& name, const std::string& help, std::vector<ClientMetric::Label> labels,
               double value) {
    ClientMetric metric;
    metric.label = std::move(labels);
    metric.counter.value = value;
    add(name, MetricType::Counter, help, std::move(metric));
  }
  void gauge(const std::string& name, const std::string& help, std::vector<ClientMetric::Label> labels,
             double value) {
    ClientMetric metric;
    metric.label = std::move(labels);
    metric.gauge.value = value;
    add(name, MetricType::Gauge, help, std::move(metric));
  }
  std::string text() const {
    std::vector<MetricFamily> list;
    for (const auto& [name, family] : families_) list.push_back(family);
    return prometheus::TextSerializer().Serialize(list);
  }

 private:
  std::map<std::string, MetricFamily> families_;
};

std::vector<ClientMetric::Label> labels_of(const telemetry::Labels& labels) {
  return {{"reporter", std::string(telemetry::label(labels.reporter))},
          {"source_workload", labels.source.workload},
          {"source_namespace", labels.source.ns},
          {"source_principal", labels.source.principal},
          {"destination_workload", labels.destination.workload},
          {"destination_namespace", labels.destination.ns},
          {"destination_principal", labels.destination.principal},
          {"destination_service", labels.service},
          {"protocol", "tcp"},
          {"connection_security", std::string(telemetry::label(labels.security))}};
}

using LabelKey = std::vector<std::string>;

LabelKey key_of(const telemetry::Labels& labels) {
  LabelKey key;
  for (const auto& label : labels_of(labels)) key.push_back(label.value);
  return key;
}

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

void add_duration(Families& families, const telemetry::Row& row) {
  ClientMetric metric;
  metric.label = labels_of(row.labels);
  uint64_t cumulative = 0;
  for (size_t i = 0; i < row.durations.size(); ++i) {
    cumulative += row.durations[i];
    ClientMetric::Bucket bucket;
    bucket.cumulative_count = cumulative;
    bucket.upper_bound = i < telemetry::kDurationBounds.size() ? telemetry::kDurationBounds[i]
                                                               : std::numeric_limits<double>::infinity();
    metric.histogram.bucket.push_back(bucket);
  }
  metric.histogram.sample_count = cumulative;
  metric.histogram.sample_sum = row.duration_sum_seconds;
  families.add("weir_tcp_connection_duration_seconds", MetricType::Histogram,
               "How long closed connections lived.", std::move(metric));
}

void add_connections(Families& families, const std::vector<telemetry::WorkerReport>& workers) {
  std::map<LabelKey, telemetry::Row> rows;
  for (const telemetry::WorkerReport& worker : workers) {
    for (const telemetry::Row& row : worker.rows) merge(rows[key_of(row.labels)], row);
  }
  for (const auto& [key, row] : rows) {
    const auto labels = labels_of(row.labels);
    families.counter("weir_tcp_connections_opened_total", "Connections that reached their other side.",
                     labels, static_cast<double>(row.opened));
    families.counter("weir_tcp_connections_closed_total", "Opened connections that have ended.", labels,
                     static_cast<double>(row.closed));
    families.counter("weir_tcp_sent_bytes_total", "Bytes from client to server.", labels,
                     static_cast<double>(row.sent_bytes));
    families.counter("weir_tcp_received_bytes_total", "Bytes from server to client.", labels,
                     static_cast<double>(row.received_bytes));
    if (row.closed > 0) add_duration(families, row);
    for (size_t i = 0; i < row.failed.size(); ++i) {
      if (row.failed[i] == 0) continue;
      auto with_reason = labels;
      with_reason.push_back({"reason", std::string(label(static_cast<Reason>(i)))});
      families.counter("weir_tcp_connections_failed_total",
                       "Connections that did not reach their other side.", with_reason,
                       static_cast<double>(row.failed[i]));
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
    sum.lanes_opened += one.lanes_opened;
    sum.lanes_closed += one.lanes_closed;
    sum.sessions_opened += one.sessions_opened;
    sum.audits += one.audits;
    sum.turns += one.turns;
    now.live_flows += worker.live_flows;
    now.lanes_dialled += worker.lanes_dialled;
    now.lanes_accepted += worker.lanes_accepted;
    now.sessions_dialled += worker.sessions_dialled;
    now.sessions_accepted += worker.sessions_accepted;
  }
  const auto handshake = [&](const char* role, const char* kind, uint64_t count) {
    families.counter("weir_tls_handshakes_total", "mTLS handshakes completed.",
                     {{"role", role}, {"kind", kind}}, static_cast<double>(count));
  };
  handshake("client", "full", sum.handshakes_full_client);
  handshake("client", "resumed", sum.handshakes_resumed_client);
  handshake("server", "full", sum.handshakes_full_server);
  handshake("server", "resumed", sum.handshakes_resumed_server);
  for (size_t i = 0; i < sum.handshakes_failed.size(); ++i) {
    if (sum.handshakes_failed[i] == 0) continue;
    families.counter("weir_tls_handshakes_failed_total", "mTLS handshakes that failed.",
                     {{"reason", std::string(label(static_cast<Reason>(i)))}},
                     static_cast<double>(sum.handshakes_failed[i]));
  }
  families.counter("weir_lanes_opened_total", "Lanes opened, both roles.", {},
                   static_cast<double>(sum.lanes_opened));
  families.counter("weir_lanes_closed_total", "Lanes closed, both roles.", {},
                   static_cast<double>(sum.lanes_closed));
  families.counter("weir_sessions_opened_total", "Sessions opened on lanes, both roles.", {},
                   static_cast<double>(sum.sessions_opened));
  families.counter("weir_policy_audits_total", "Audit policies that matched.", {},
                   static_cast<double>(sum.audits));
  families.counter("weir_worker_turns_total", "Turns of the workers' loops: wake-ups.", {},
                   static_cast<double>(sum.turns));
  const auto by_role = [&](const char* name, const char* help, uint64_t dialled, uint64_t accepted) {
    families.gauge(name, help, {{"role", "dialler"}}, static_cast<double>(dialled));
    families.gauge(name, help, {{"role", "acceptor"}}, static_cast<double>(accepted));
  };
  by_role("weir_lanes", "Lanes open.", now.lanes_dialled, now.lanes_accepted);
  by_role("weir_sessions", "Sessions open on lanes.", now.sessions_dialled, now.sessions_accepted);
  families.gauge("weir_flows", "Live flows: connections, and sessions of accepted lanes.", {},
                 static_cast<double>(now.live_flows));
}

}  // namespace

std::string metrics_text(const ProcessView& view) {
  Families families;
  add_connections(families, view.workers);
  add_handshakes(families, view.workers);
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
                   static_cast<double>(view.agent.updates_refused));
  families.counter("weir_access_log_lines_dropped_total", "Access-log lines lost to a full disk or queue.",
                   {}, static_cast<double>(view.log_lines_dropped));
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

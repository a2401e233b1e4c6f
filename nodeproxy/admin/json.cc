// The JSON of reports.h: status for weirctl, and the configuration dump.
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "nodeproxy/admin/reports.h"

namespace weir::admin {
namespace {

using nlohmann::json;

uint64_t flows_of(const ProcessView& view, const std::string& uid) {
  uint64_t flows = 0;
  for (const telemetry::WorkerReport& worker : view.workers) {
    for (const telemetry::WorkerReport::PodFlows& pod : worker.pods) {
      if (pod.uid == uid) flows += pod.flows;
    }
  }
  return flows;
}

// Endpoints that a worker leaves out as outliers. Workers judge by what they see themselves, so one may be here twice.
json ejected_json(const ProcessView& view) {
  json out = json::array();
  for (const telemetry::WorkerReport& worker : view.workers) {
    for (const telemetry::ServiceEjections& service : worker.ejections) {
      for (const telemetry::EjectedEndpoint& endpoint : service.now) {
        out.push_back({{"service", service.service},
                       {"port", endpoint.service_port},
                       {"endpoint", endpoint.address.to_string()},
                       {"cause", telemetry::kEjectionCauses[static_cast<size_t>(endpoint.cause)]},
                       {"seconds_left", std::chrono::duration<double>(endpoint.left).count()}});
      }
    }
  }
  return out;
}

const char* name_of(config::TlsMode mode) {
  switch (mode) {
    case config::TlsMode::permissive: return "Permissive";
    case config::TlsMode::strict: return "Strict";
    case config::TlsMode::disabled: return "Disabled";
  }
  return "Permissive";
}

json workload_json(const config::Workload& workload) {
  json out{{"uid", workload.uid},
           {"name", workload.ns + "/" + workload.name},
           {"identity", workload.identity},
           {"node", workload.node},
           {"zone", workload.locality.zone},
           {"mesh_peer", workload.mesh_peer},
           {"host_network", workload.host_network},
           {"mode", name_of(workload.mode)}};
  for (const Ip& address : workload.addresses) out["addresses"].push_back(address.to_string());
  for (const auto& [port, mode] : workload.port_modes)
    out["port_modes"][std::to_string(port)] = name_of(mode);
  for (const auto& binding : workload.policies) {
    out["policies"].push_back({{"name", binding.policy->name}, {"ports", binding.ports}});
  }
  return out;
}

json service_json(const config::Service& service) {
  json out{{"name", service.name}};
  for (const Ip& address : service.addresses) out["addresses"].push_back(address.to_string());
  for (const auto& port : service.ports) out["ports"].push_back({{"port", port.port}, {"name", port.name}});
  for (const auto& slice : service.slices) {
    for (const auto& endpoint : slice->endpoints) {
      out["endpoints"].push_back({{"address", endpoint.address.to_string()},
                                  {"workload", endpoint.workload_uid},
                                  {"ready", endpoint.ready},
                                  {"weight", endpoint.weight},
                                  {"zone", endpoint.locality.zone}});
    }
  }
  return out;
}

}  // namespace

std::string status_json(const ProcessView& view) {
  json out{{"version", WEIR_VERSION},
           {"pid", ::getpid()},
           {"ready", view.not_ready_because.empty()},
           {"not_ready_because", view.not_ready_because},
           {"draining", view.draining},
           {"workers", view.workers.size()},
           {"driver", view.driver},
           {"config_version", view.snapshot_version},
           {"agent_connected", view.agent.connected},
           {"updates_refused", view.agent.updates_refused},
           {"last_error", view.agent.last_error},
           {"pods", json::array()},
           {"certificates", json::array()},
           {"ejected", ejected_json(view)}};
  for (const auto& pod : view.pods) {
    int64_t not_after = 0;
    for (const auto& certificate : view.certificates) {
      if (certificate.identity == pod.identity) not_after = certificate.not_after_unix_seconds;
    }
    out["pods"].push_back({{"uid", pod.uid},
                           {"identity", pod.identity},
                           {"accepting", pod.accepting},
                           {"certificate_not_after", not_after},
                           {"flows", flows_of(view, pod.uid)}});
  }
  for (const auto& certificate : view.certificates) {
    out["certificates"].push_back({{"identity", certificate.identity},
                                   {"not_after", certificate.not_after_unix_seconds},
                                   {"error", certificate.error}});
  }
  uint64_t flows = 0, lanes_dialled = 0, lanes_accepted = 0, sessions_dialled = 0, sessions_accepted = 0;
  for (const telemetry::WorkerReport& worker : view.workers) {
    flows += worker.live_flows;
    lanes_dialled += worker.lanes_dialled;
    lanes_accepted += worker.lanes_accepted;
    sessions_dialled += worker.sessions_dialled;
    sessions_accepted += worker.sessions_accepted;
  }
  out["flows"] = flows;
  out["lanes"] = {{"dialled", lanes_dialled}, {"accepted", lanes_accepted}};
  out["sessions"] = {{"dialled", sessions_dialled}, {"accepted", sessions_accepted}};
  return out.dump(2, ' ', false, json::error_handler_t::replace) + "\n";
}

std::string flows_json(const std::vector<telemetry::FlowView>& flows) {
  json out = json::array();
  for (const telemetry::FlowView& flow : flows) {
    const telemetry::Labels& labels = *flow.facts.labels;
    out.push_back({{"pod", flow.pod},
                   {"worker", flow.worker},
                   {"direction", flow.facts.reporter == telemetry::Reporter::source ? "outbound" : "inbound"},
                   {"client", flow.facts.client.to_string()},
                   {"dialled", flow.facts.dialled.to_string()},
                   {"endpoint", flow.facts.endpoint.to_string()},
                   {"source", labels.source.ns + "/" + labels.source.workload},
                   {"source_principal", labels.source.principal},
                   {"destination", labels.destination.ns + "/" + labels.destination.workload},
                   {"service", labels.service},
                   {"security", telemetry::label(labels.security)},
                   {"open", flow.open},
                   {"bytes_sent", flow.sent_bytes},
                   {"bytes_received", flow.received_bytes},
                   {"age_seconds", std::chrono::duration<double>(flow.age).count()}});
  }
  return out.dump(2, ' ', false, json::error_handler_t::replace) + "\n";
}

std::string config_json(const config::Snapshot& snapshot) {
  json out{{"version", snapshot.version},
           {"trust_domain", snapshot.mesh.trust_domain},
           {"node", snapshot.mesh.node},
           {"same_node", snapshot.mesh.same_node == config::SameNode::direct ? "Direct" : "Encrypted"},
           {"workloads", json::array()},
           {"services", json::array()}};
  for (const Prefix& range : snapshot.mesh.cluster_ranges) out["cluster_ranges"].push_back(range.to_string());
  for (const auto& [domain, trust] : snapshot.trusts) {
    out["trusts"].push_back(
        {{"domain", domain}, {"version", trust->version}, {"roots", trust->roots.size()}});
  }
  snapshot.workloads_by_uid.for_each([&](const std::string&, const config::Workload& workload) {
    out["workloads"].push_back(workload_json(workload));
  });
  snapshot.services_by_name.for_each([&](const std::string&, const config::Service& service) {
    out["services"].push_back(service_json(service));
  });
  return out.dump(2, ' ', false, json::error_handler_t::replace) + "\n";
}

}  // namespace weir::admin

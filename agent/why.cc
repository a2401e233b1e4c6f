// The pod, its capture, modes, ports and Services. See why.h.
#include "agent/why.h"

#include <algorithm>

#include "agent/why_parts.h"
#include "nodeproxy/base/port_words.h"

namespace weir::agent {
namespace {

using Json = nlohmann::ordered_json;

std::string name_of(const PeerAuthentication* policy) {
  return policy == nullptr ? "" : policy->meta.key().text();
}

const char* level_of(const SaidMode& mode) {
  if (mode.by == nullptr) return "default";
  const Attachment& attachment = mode.by->attachment;
  if (attachment.selector) return "selector";
  if (!attachment.targets.empty()) return "Service";
  return mode.by->meta.ns == kWeirNamespace ? "mesh" : "namespace";
}

Json mode_json(const SaidMode& mode) {
  return {{"mode", word(mode.mode)}, {"by", name_of(mode.by)}, {"level", level_of(mode)}};
}

const char* protocol_word(const WhyFacts& facts, const std::string& service, const ServiceOfPod::Port& port) {
  if (has_routes(facts.resources, service, port.service_port)) return "HTTP";
  switch (ports::hint_of(port.app_protocol, port.name, port.service_port)) {
    case ports::Hint::http: return "HTTP";
    case ports::Hint::opaque: return "opaque";
    case ports::Hint::unknown: break;
  }
  return "detected";
}

Json capture_json(const WhyFacts& facts, const Pod& pod) {
  if (pod.node != facts.inputs.node || !facts.capture) return nullptr;
  const PodStatus& status = *facts.capture;
  return {{"state", label(status.state)},
          {"armed", status.armed},
          {"accepting", status.accepting},
          {"announced", status.announced},
          {"error", status.error}};
}

Json ports_json(const Explanation& explanation, const std::map<uint16_t, PortFacts>& ports) {
  Json out = Json::array();
  for (const auto& [number, port] : ports) {
    const auto own = explanation.port_modes.find(number);
    Json one{{"port", number}, {"name", port.name}, {"declared", port.declared}};
    if (!explanation.identity.empty()) {
      one["mode"] = mode_json(own == explanation.port_modes.end() ? explanation.mode : own->second);
    }
    one["services"] = Json::array();
    for (const auto& through : port.through) {
      one["services"].push_back(
          {{"service", through.service}, {"port", through.port}, {"protocol", through.protocol}});
    }
    out.push_back(std::move(one));
  }
  return out;
}

Json services_json(const WhyFacts& facts, const Explanation& explanation) {
  Json out = Json::array();
  for (const auto& service : explanation.services) {
    Json traffic = Json::array();
    for (const TrafficPolicy* policy : service.traffic) traffic.push_back(policy->meta.key().text());
    const std::string name = service.service->meta.key().text();
    out.push_back({{"service", name},
                   {"traffic_policies", std::move(traffic)},
                   {"routes", routes_of_service(facts.resources, name)}});
  }
  return out;
}

}  // namespace

const char* word(Mode mode) {
  switch (mode) {
    case Mode::strict: return "Strict";
    case Mode::disabled: return "Disabled";
    case Mode::permissive: break;
  }
  return "Permissive";
}

std::map<uint16_t, PortFacts> ports_of(const WhyFacts& facts, const Explanation& explanation) {
  std::map<uint16_t, PortFacts> out;
  for (const auto& port : explanation.pod->ports) out[port.port] = {port.name, true, {}};
  for (const auto& service : explanation.services) {
    const std::string name = service.service->meta.key().text();
    for (const auto& port : service.ports) {
      if (port.pod_port == 0) continue;
      out[port.pod_port].through.push_back({name, port.service_port, protocol_word(facts, name, port)});
    }
  }
  for (const auto& [port, mode] : explanation.port_modes) out.try_emplace(port);
  return out;
}

std::optional<Json> why(const WhyFacts& facts, const std::string& name) {
  const size_t slash = name.find('/');
  if (slash == std::string::npos) return std::nullopt;
  const auto explained = explain(facts.inputs, {name.substr(0, slash), name.substr(slash + 1)});
  if (!explained) return std::nullopt;
  const Pod& pod = *explained->pod;
  const auto ports = ports_of(facts, *explained);
  Json services = services_json(facts, *explained);
  Json outbound = routes_of_consumer(facts.resources, pod.meta.ns);
  std::set<std::string> routes;
  for (const auto& service : services) add_route_names(service["routes"], routes);
  add_route_names(outbound, routes);
  Json out{{"pod", pod.meta.key().text()},
           {"uid", pod.uid()},
           {"node", pod.node},
           {"asked_node", facts.inputs.node},
           {"here", pod.node == facts.inputs.node},
           {"addresses", pod.addresses},
           {"service_account", pod.service_account},
           {"ready", pod.ready},
           {"enrolled", explained->enrolled},
           {"because", explained->because},
           {"peer", explained->peer},
           {"identity", explained->identity},
           {"capture", capture_json(facts, pod)},
           {"mode", explained->identity.empty() ? Json() : mode_json(explained->mode)},
           {"ports", ports_json(*explained, ports)},
           {"policies", policies_json(*explained)},
           {"services", std::move(services)},
           {"consumer_routes", std::move(outbound)},
           {"warnings", warnings(facts, *explained, ports, routes)}};
  return out;
}

}  // namespace weir::agent

// Kubernetes' own kinds, reduced to what model/objects.h holds. Field names: the Kubernetes API reference, core/v1 and
// discovery.k8s.io/v1. See readers.h.
#include <algorithm>
#include <ctime>
#include <string_view>

#include "agent/files/readers.h"

namespace weir::agent {
namespace {

// RFC 3339 in UTC, as the API server writes it.
int64_t read_time(const Field& field) {
  const std::string value = field.needed_text();
  std::tm parts{};
  const char* end = ::strptime(value.c_str(), "%Y-%m-%dT%H:%M:%S", &parts);
  if (end == nullptr || (*end != 'Z' && *end != '.')) field.refuse("is no time such as 2026-01-31T12:00:00Z");
  return ::timegm(&parts);
}

bool is_tcp(const Field& port) {
  const std::string protocol = port["protocol"].text("TCP");
  return protocol == "TCP";
}

void read_container_ports(const Field& containers, std::vector<ContainerPort>& into) {
  for (const auto& container : containers.items()) {
    for (const auto& port : container["ports"].items()) {
      if (is_tcp(port)) into.push_back({port["name"].text(), port["containerPort"].port()});
    }
  }
}

}  // namespace

// Names become parts of identities (SPIFFE paths), metric labels and file names: only what Kubernetes itself allows.
std::string read_name(const Field& field, std::string_view more) {
  std::string value = field.needed_text();
  if (value.size() > 253) field.refuse("is longer than 253 characters");
  for (const char c : value) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
    if (!plain && more.find(c) == std::string_view::npos) {
      field.refuse("has a character that Kubernetes does not allow: " + value);
    }
  }
  if (value.front() == '.' || value.back() == '.' || value.find("..") != std::string::npos) {
    field.refuse("has a dot at an end, or two in a row: " + value);
  }
  return value;
}

Meta read_meta(const Field& document, bool namespaced) {
  const Field metadata = document["metadata"];
  if (!metadata.present()) metadata.refuse("is missing");
  Meta meta;
  // RBAC-like names with colons or upper case are not among the kinds read here.
  meta.name = read_name(metadata["name"], ".");
  if (namespaced) {
    const Field ns = metadata["namespace"];
    meta.ns = ns.present() ? read_name(ns, "") : "default";
  }
  const Field uid = metadata["uid"];
  if (uid.present()) meta.uid = read_name(uid, "._/ABCDEFGHIJKLMNOPQRSTUVWXYZ");
  meta.labels = metadata["labels"].labels();
  // Only annotations that somebody here reads: others may be long, and there are many.
  for (const auto& [key, value] : metadata["annotations"].entries()) {
    if (key.starts_with("weir.dev/") || key == "kubernetes.io/config.mirror")
      meta.annotations[key] = value.text();
  }
  for (const auto& owner : metadata["ownerReferences"].items()) {
    Owner value{owner["kind"].needed_text(), owner["name"].needed_text()};
    const bool controller = owner["controller"].boolean(false);
    meta.owners.insert(controller ? meta.owners.begin() : meta.owners.end(), std::move(value));
  }
  if (metadata["creationTimestamp"].present()) meta.created_at = read_time(metadata["creationTimestamp"]);
  meta.deleting = metadata["deletionTimestamp"].present();
  return meta;
}

Namespace read_namespace(const Field& document) { return {read_meta(document, false)}; }

Node read_node(const Field& document) {
  Node node{read_meta(document, false), {}, {}};
  const Field spec = document["spec"];
  for (const auto& cidr : spec["podCIDRs"].items()) node.pod_cidrs.push_back(cidr.cidr());
  if (node.pod_cidrs.empty() && spec["podCIDR"].present()) node.pod_cidrs.push_back(spec["podCIDR"].cidr());
  for (const auto& address : document["status"]["addresses"].items()) {
    const std::string type = address["type"].needed_text();
    if (type == "InternalIP" || type == "ExternalIP") node.addresses.push_back(address["address"].ip());
  }
  return node;
}

Pod read_pod(const Field& document) {
  Pod pod;
  pod.meta = read_meta(document, true);
  const Field spec = document["spec"];
  if (spec["nodeName"].present()) pod.node = read_name(spec["nodeName"], ".");
  if (spec["serviceAccountName"].present()) pod.service_account = read_name(spec["serviceAccountName"], ".");
  if (spec["runtimeClassName"].present()) pod.runtime_class = read_name(spec["runtimeClassName"], ".");
  pod.host_network = spec["hostNetwork"].boolean(false);
  read_container_ports(spec["containers"], pod.ports);
  read_container_ports(spec["initContainers"], pod.ports);
  const Field status = document["status"];
  pod.phase = status["phase"].text();
  for (const auto& condition : status["conditions"].items()) {
    if (condition["type"].text() == "Ready") pod.ready = condition["status"].text() == "True";
  }
  for (const auto& entry : status["podIPs"].items()) pod.addresses.push_back(entry["ip"].ip());
  if (pod.addresses.empty() && status["podIP"].present()) pod.addresses.push_back(status["podIP"].ip());
  return pod;
}

Service read_service(const Field& document) {
  Service service;
  service.meta = read_meta(document, true);
  const Field spec = document["spec"];
  service.external_name = spec["type"].text() == "ExternalName";
  service.selector = spec["selector"].labels();
  for (const auto& port : spec["ports"].items()) {
    if (!is_tcp(port)) continue;
    ServicePort value{port["name"].text(), port["appProtocol"].text(), {}, port["port"].port(), 0};
    const Field target = port["targetPort"];
    if (target.is_number()) {
      value.target_port = target.port();
    } else {
      value.target_name = target.text();
    }
    if (std::ranges::find(service.ports, value.port, &ServicePort::port) != service.ports.end()) {
      port["port"].refuse("is there twice: " + std::to_string(value.port));
    }
    service.ports.push_back(std::move(value));
  }
  const auto add = [&](const Field& address) {
    if (address.text() != "None") service.addresses.push_back(address.ip());
  };
  for (const auto& address : spec["clusterIPs"].items()) add(address);
  if (service.addresses.empty() && !spec["clusterIP"].text().empty()) add(spec["clusterIP"]);
  for (const auto& address : spec["externalIPs"].items()) add(address);
  for (const auto& ingress : document["status"]["loadBalancer"]["ingress"].items()) {
    if (ingress["ip"].present()) add(ingress["ip"]);
  }
  if (spec["sessionAffinity"].word({"None", "ClientIP"}, 0) == 1) {
    // core/v1: ClientIPConfig.timeoutSeconds, 3 hours unless said, at most a day.
    service.affinity_seconds =
        spec["sessionAffinityConfig"]["clientIP"]["timeoutSeconds"].number_or(10800, 1, 86400);
  }
  service.internal_local = spec["internalTrafficPolicy"].word({"Cluster", "Local"}, 0) == 1;
  service.traffic_distribution = spec["trafficDistribution"].text();
  service.publish_not_ready = spec["publishNotReadyAddresses"].boolean(false);
  return service;
}

EndpointSlice read_endpoint_slice(const Field& document) {
  EndpointSlice slice;
  slice.meta = read_meta(document, true);
  const auto service = slice.meta.labels.find("kubernetes.io/service-name");
  if (service != slice.meta.labels.end()) slice.service = service->second;
  const bool is_ip = document["addressType"].word({"IPv4", "IPv6", "FQDN"}, 0) != 2;
  for (const auto& port : document["ports"].items()) {
    if (is_tcp(port) && port["port"].present()) {
      slice.ports.push_back({port["name"].text(), port["appProtocol"].text(), port["port"].port()});
    }
  }
  for (const auto& endpoint : document["endpoints"].items()) {
    const auto addresses = endpoint["addresses"].items();
    if (!is_ip || addresses.empty()) continue;
    SliceEndpoint value;
    // discovery/v1: "all addresses are fungible, clients are only expected to use the first".
    value.address = addresses.front().ip();
    const Field conditions = endpoint["conditions"];
    value.ready = conditions["ready"].boolean(true);
    value.serving = conditions["serving"].boolean(value.ready);
    value.terminating = conditions["terminating"].boolean(false);
    value.node = endpoint["nodeName"].text();
    value.zone = endpoint["zone"].text();
    for (const auto& zone : endpoint["hints"]["forZones"].items()) {
      value.hint_zones.push_back(zone["name"].needed_text());
    }
    const Field target = endpoint["targetRef"];
    if (target["kind"].text() == "Pod") {
      value.target = ObjectName{target["namespace"].text(slice.meta.ns), target["name"].needed_text()};
    }
    slice.endpoints.push_back(std::move(value));
  }
  return slice;
}

}  // namespace weir::agent

// Weir's settings and its small kinds, read strictly: a member that is not known refuses the file. What they mean is
// settled in derive/. See readers.h and api.md.
#include <algorithm>
#include <array>

#include "agent/files/readers.h"
#include "nodeproxy/base/ip.h"

namespace weir::agent {
namespace {

Mode read_mode(const Field& field) {
  static constexpr std::array<Mode, 3> kModes{Mode::strict, Mode::permissive, Mode::disabled};
  field.needed_text();
  return kModes[field.word({"Strict", "Permissive", "Disabled"}, 0)];
}

// "10.0.0.0/8, fd00::/8": commas or blanks between.
std::vector<std::string> read_cidrs(const Field& field) {
  std::vector<std::string> out;
  std::string text = field.text();
  std::ranges::replace(text, ',', ' ');
  size_t at = 0;
  while ((at = text.find_first_not_of(" \t\n", at)) != std::string::npos) {
    const size_t end = std::min(text.find_first_of(" \t\n", at), text.size());
    out.push_back(text.substr(at, end - at));
    if (!Prefix::parse(out.back())) field.refuse("has what is no IP block: " + out.back());
    at = end;
  }
  return out;
}

// SPIFFE-ID 2.1: lower case letters, digits, dots, dashes and underscores.
std::string read_trust_domain(const Field& field) {
  std::string value = field.text();
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_';
  };
  if (value.size() > 255 || !std::ranges::all_of(value, allowed))
    field.refuse("is no SPIFFE trust domain: " + value);
  return value;
}

}  // namespace

MeshSettings read_mesh_settings(const Field& document) {
  MeshSettings settings;
  settings.meta = read_meta(document, true);
  const Field data = document["data"];
  data.only({"trustDomain", "clusterName", "podCIDRs", "serviceCIDRs", "unknownDestinations", "sameNode",
             "sessionsPerLane", "enrolment"});
  settings.trust_domain = read_trust_domain(data["trustDomain"]);
  settings.cluster = data["clusterName"].text();
  settings.pod_cidrs = read_cidrs(data["podCIDRs"]);
  settings.service_cidrs = read_cidrs(data["serviceCIDRs"]);
  settings.allow_unknown_destinations = data["unknownDestinations"].word({"Refuse", "Allow"}, 0) == 1;
  settings.same_node_encrypted = data["sameNode"].word({"Direct", "Encrypted"}, 0) == 1;
  settings.sessions_per_lane = data["sessionsPerLane"].number_or(0, 1, 100);
  settings.enrol_nobody = data["enrolment"].word({"Labels", "None"}, 0) == 1;
  return settings;
}

Attachment read_attachment(const Field& spec) {
  Attachment attachment;
  const Field selector = spec["selector"], targets = spec["targetRefs"];
  if (selector.present() && targets.present()) targets.refuse("and selector exclude each other");
  if (selector.present()) {
    selector.only({"matchLabels"});
    attachment.selector = selector["matchLabels"].labels();
  }
  for (const auto& target : targets.items()) {
    target.only({"group", "kind", "name", "sectionName"});
    if (!target["group"].text().empty() && target["group"].text() != "core") {
      target["group"].refuse("must be empty: only Services can be meant");
    }
    target["kind"].word({"Service"}, 0);
    attachment.targets.push_back({"Service", target["name"].needed_text(), target["sectionName"].text()});
  }
  if (targets.present() && attachment.targets.empty()) targets.refuse("is empty");
  return attachment;
}

PeerAuthentication read_peer_authentication(const Field& document) {
  PeerAuthentication policy;
  policy.meta = read_meta(document, true);
  const Field spec = document["spec"];
  spec.only({"selector", "targetRefs", "mode", "ports"});
  policy.attachment = read_attachment(spec);
  if (spec["mode"].present()) policy.mode = read_mode(spec["mode"]);
  for (const auto& [key, mode] : spec["ports"].entries()) {
    const Field number(YAML::Node(key), mode.path());
    if (!number.is_number() || key.size() > 5 || std::stoul(key) == 0 || std::stoul(key) > 65535) {
      mode.refuse("must be a port number");
    }
    policy.ports[static_cast<uint16_t>(std::stoul(key))] = read_mode(mode);
  }
  // A port of every pod of a namespace or mesh means little, and would win over a workload's own mode.
  if (!policy.ports.empty() && !policy.attachment.selector && policy.attachment.targets.empty()) {
    spec["ports"].refuse("needs a selector or targetRefs: a port's mode belongs to workloads");
  }
  if (!policy.mode && policy.ports.empty()) spec.refuse("says neither mode nor ports");
  return policy;
}

}  // namespace weir::agent

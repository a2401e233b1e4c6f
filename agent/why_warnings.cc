// What a person would want to be told of a pod without having asked for it. See why.h.
#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "agent/why_parts.h"
#include "nodeproxy/config/mesh.pb.h"

namespace weir::agent {
namespace {

namespace pb = weir::mesh::v1;

struct Listener {
  const WhyFacts& facts;
  const Explanation& explanation;
  const std::map<uint16_t, PortFacts>& ports;
  std::vector<std::string> said;

  void say(std::string text) {
    if (std::ranges::find(said, text) == said.end()) said.push_back(std::move(text));
  }
};

bool known(const Listener& to, uint16_t port) {
  const auto found = to.ports.find(port);
  return found != to.ports.end() && (found->second.declared || !found->second.through.empty());
}

void about_capture(Listener& to) {
  const auto& capture = to.facts.capture;
  const bool here = to.explanation.pod->node == to.facts.inputs.node;
  if (!to.explanation.enrolled) {
    if (!to.explanation.policies.empty()) {
      to.say(fmt::format(
          "it is not in the mesh: nobody judges by the {} AuthorizationPolic{} that would bind it",
          to.explanation.policies.size(), to.explanation.policies.size() == 1 ? "y" : "ies"));
    }
    return;
  }
  if (!here) return;
  if (to.explanation.pod->addresses.empty()) {
    to.say("it has no address yet");
  } else if (!capture) {
    to.say("the agent does not know it yet, or another pod has its address now");
  } else if (capture->state != PodState::captured) {
    to.say(fmt::format("its traffic is not captured: {}{}{}", label(capture->state),
                       capture->error.empty() ? "" : ": ", capture->error));
  } else if (!capture->accepting) {
    to.say("no proxy accepts for it: its connections wait");
  } else if (!capture->announced) {
    to.say("its capture is not announced: other pods do not speak mTLS to it");
  }
}

void about_ports(Listener& to) {
  for (const auto& service : to.explanation.services) {
    for (const auto& port : service.ports) {
      if (port.pod_port != 0) continue;
      to.say(fmt::format("Service {}: port {} leads to a port by a name that the pod does not declare",
                         service.service->meta.key().text(), port.service_port));
    }
  }
  const bool declares = !to.explanation.pod->ports.empty();
  for (const auto& [number, port] : to.ports) {
    if (declares && !port.declared && !port.through.empty()) {
      to.say(fmt::format("port {}: Service {} leads there, and the pod does not declare it", number,
                         port.through.front().service));
    }
  }
  for (const auto& [number, mode] : to.explanation.port_modes) {
    if (known(to, number)) continue;
    to.say(fmt::format("port {}: PeerAuthentication {} speaks of it, and neither the pod nor a Service does",
                       number, mode.by->meta.key().text()));
  }
}

bool looks_into_requests(const AuthorizationPolicy& policy) {
  const auto l7 = [](const std::vector<Match>& matches) { return std::ranges::any_of(matches, &Match::l7); };
  return std::ranges::any_of(policy.rules,
                             [&](const Rule& rule) { return l7(rule.from) || l7(rule.to) || l7(rule.when); });
}

void about_policy(Listener& to, const BoundPolicy& bound) {
  const AuthorizationPolicy& policy = *bound.policy;
  const std::string name = "AuthorizationPolicy " + policy.meta.key().text();
  if (!policy.invalid.empty()) {
    to.say(fmt::format("{} is invalid: {}: {}", name, policy.invalid,
                       policy.action == Action::deny ? "it denies everything" : "it matches nothing"));
  }
  for (const Rule& rule : policy.rules) {
    for (const Match& match : rule.to) {
      for (const uint16_t port : match.ports) {
        if (known(to, port)) continue;
        to.say(
            fmt::format("{}, {}: port {} is none that the pod declares or a Service leads to (ports are the "
                        "pod's, not the Service's)",
                        name, rule.name, port));
      }
    }
  }
  if (!looks_into_requests(policy)) return;
  for (const auto& [number, port] : to.ports) {
    const bool covered = bound.ports.empty() || std::ranges::find(bound.ports, number) != bound.ports.end();
    for (const auto& through : port.through) {
      if (!covered || through.protocol != "opaque") continue;
      to.say(
          fmt::format("{} looks into requests, and port {} is opaque by Service {}: there its rules about "
                      "requests {}",
                      name, number, through.service,
                      policy.action == Action::deny ? "count as met, and deny" : "never match"));
    }
  }
}

// What the proxy refused of what concerns this pod.
void about_quarantine(Listener& to) {
  if (to.facts.quarantine == nullptr) {
    to.say("no proxy is connected to the agent of this node");
    return;
  }
  const auto concerns = [&](const ResourceId& id) {
    if (id.kind == pb::WORKLOAD) return id.name == to.explanation.pod->uid();
    if (id.kind == pb::POLICY) {
      return std::ranges::any_of(to.explanation.policies, [&](const BoundPolicy& bound) {
        return bound.policy->meta.key().text() == id.name;
      });
    }
    return std::ranges::any_of(to.explanation.services, [&](const ServiceOfPod& service) {
      const std::string name = service.service->meta.key().text();
      // Tables of routes are named after their service, slices begin with its name.
      return id.name.starts_with(name) &&
             (id.name.size() == name.size() || !std::isalnum(id.name[name.size()]));
    });
  };
  for (const auto& [id, entry] : *to.facts.quarantine) {
    if (concerns(id)) to.say(fmt::format("the proxy refused {}: {}", id.text(), entry.error));
  }
}

void about_notes(Listener& to, const std::set<std::string>& routes) {
  std::set<std::string> objects{"Pod " + to.explanation.pod->meta.key().text()};
  for (const auto& bound : to.explanation.policies) {
    if (bound.policy->invalid.empty())
      objects.insert("AuthorizationPolicy " + bound.policy->meta.key().text());
  }
  const auto add_mode = [&](const SaidMode& mode) {
    if (mode.by != nullptr) objects.insert("PeerAuthentication " + mode.by->meta.key().text());
  };
  add_mode(to.explanation.mode);
  for (const auto& [port, mode] : to.explanation.port_modes) add_mode(mode);
  for (const auto& service : to.explanation.services) {
    for (const TrafficPolicy* policy : service.traffic) {
      objects.insert("TrafficPolicy " + policy->meta.key().text());
    }
  }
  for (const auto& route : routes) {
    objects.insert("HTTPRoute " + route);
    objects.insert("GRPCRoute " + route);
  }
  for (const Note& note : to.facts.notes) {
    if (objects.contains(note.object)) to.say(note.object + ": " + note.text);
  }
}

}  // namespace

std::vector<std::string> warnings(const WhyFacts& facts, const Explanation& explanation,
                                  const std::map<uint16_t, PortFacts>& ports,
                                  const std::set<std::string>& routes) {
  Listener to{facts, explanation, ports, {}};
  about_capture(to);
  about_ports(to);
  for (const auto& bound : explanation.policies) about_policy(to, bound);
  about_quarantine(to);
  about_notes(to, routes);
  return std::move(to.said);
}

}  // namespace weir::agent

// HTTPRoutes and GRPCRoutes → RouteTables. Routes meet at the ports of the Services they name as parents: those of the
// Service's own namespace (producer routes) in a table for everybody, those of another namespace (consumer routes) in a
// table for the clients of that namespace. Ports that the same routes meet at share a table.
// Source: GEP-1294. See route.h.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "agent/derive/route.h"

namespace weir::agent {
namespace {

struct Place {
  ObjectName service;
  std::string consumer;  // a namespace; empty: everybody
  auto operator<=>(const Place&) const = default;
};

// A route with what was made of it; attached somewhere or not.
struct Prepared {
  Route route;
  std::vector<pb::RouteRule> rules;
  std::vector<RankedMatch> matches;
};

using Ports = std::set<uint16_t>;
// Of a place: the routes (indices of Prepared, the oldest first) and the ports of the service each is attached to.
using Attached = std::map<size_t, Ports>;
using PortTable = std::map<uint16_t, std::vector<size_t>>;

// The ports a parentRef means; none: why is noted.
Ports ports_of(Context& context, const Route& route, size_t index) {
  const ParentRef& parent = route.spec->parents[index];
  const auto refuse = [&](const std::string& why) -> Ports {
    context.note(route.object(),
                 fmt::format("spec.parentRefs[{}]: not accepted (NoMatchingParent) {}", index, why),
                 "NoMatchingParent");
    context.out.parents.push_back({route.object(), index, "NoMatchingParent", why});
    return {};
  };
  const auto found = context.objects.services.find(parent.key());
  if (found == context.objects.services.end()) {
    return refuse(fmt::format("there is no Service {} in namespace {}", parent.name, parent.ns));
  }
  const Service& service = found->second;
  // Routes are found by the address dialled.
  if (service.external_name || service.addresses.empty()) {
    return refuse(fmt::format("Service {} has no address of its own to be dialled at", parent.name));
  }
  Ports ports;
  for (const auto& port : service.ports) {
    if (parent.port != 0 && port.port != parent.port) continue;
    if (!parent.section.empty() && port.name != parent.section) continue;
    ports.insert(port.port);
  }
  if (!ports.empty()) return ports;
  std::string which = "TCP port";
  if (!parent.section.empty()) which += " named " + parent.section;
  if (parent.port != 0) which += fmt::format(" {}", parent.port);
  return refuse(fmt::format("Service {} has no {}", parent.name, which));
}

void prepare(Context& context, Prepared& prepared) {
  const Route& route = prepared.route;
  if (!route.spec->hostnames.empty()) {
    context.note(
        route.object(),
        "spec.hostnames have no meaning at a Service: requests are told apart by the address they were sent "
        "to (match the header Host instead)");
  }
  if (route.spec->rules.empty()) {
    context.note(route.object(), "has no rules: what it is attached to answers nothing");
  }
  for (size_t i = 0; i < route.spec->rules.size(); ++i) {
    prepared.rules.push_back(derive_rule(context, route, i));
    for (const auto& match : route.spec->rules[i].matches) {
      prepared.matches.push_back(derive_match(match, route.grpc));
      prepared.matches.back().match.set_rule(static_cast<uint32_t>(i));
    }
  }
}

// Every route with a Service among its parents, the oldest first.
std::vector<Prepared> prepare_all(Context& context) {
  std::vector<Prepared> out;
  const auto add = [&](const auto& routes, bool grpc) {
    for (const auto& [name, route] : routes) {
      if (std::ranges::any_of(route.spec.parents, &ParentRef::is_service)) {
        out.push_back({{grpc, &route.meta, &route.spec}, {}, {}});
      }
    }
  };
  add(context.objects.http_routes, false);
  add(context.objects.grpc_routes, true);
  std::ranges::stable_sort(out, {},
                           [](const Prepared& prepared) { return prepared.route.meta->seniority(); });
  for (auto& prepared : out) prepare(context, prepared);
  return out;
}

// Where GRPCRoutes and HTTPRoutes meet at a port, the HTTPRoutes yield, however old they are (GEP-1294 "Route types").
PortTable by_port(Context& context, const Place& place, const Attached& attached,
                  const std::vector<Prepared>& routes) {
  PortTable out;
  Ports taken;
  for (const auto& [index, ports] : attached) {
    if (routes[index].route.grpc) taken.insert(ports.begin(), ports.end());
  }
  for (const auto& [index, ports] : attached) {
    std::vector<uint16_t> lost;
    for (const uint16_t port : ports) {
      if (!routes[index].route.grpc && taken.contains(port)) {
        lost.push_back(port);
      } else {
        out[port].push_back(index);
      }
    }
    if (lost.empty()) continue;
    context.note(
        routes[index].route.object(),
        fmt::format("not accepted (Conflicted) for Service {}, port {}: a GRPCRoute is attached there",
                    place.service.text(), fmt::join(lost, ",")),
        "Conflicted");
  }
  return out;
}

void emit_table(Context& context, const Place& place, const std::vector<uint16_t>& ports, bool all_ports,
                const std::vector<size_t>& indices, const std::vector<Prepared>& routes) {
  pb::Resource resource;
  pb::RouteTable& table = *resource.mutable_routes();
  table.set_service(place.service.text());
  table.set_consumer_namespace(place.consumer);
  if (!all_ports) table.mutable_ports()->Assign(ports.begin(), ports.end());
  std::vector<RankedMatch> matches;
  for (const size_t index : indices) {
    const auto first_rule = static_cast<uint32_t>(table.rules_size());
    for (const auto& rule : routes[index].rules) *table.add_rules() = rule;
    for (const auto& match : routes[index].matches) {
      matches.push_back(match);
      matches.back().match.set_rule(first_rule + match.match.rule());
    }
  }
  // They came in the order that settles ties: the oldest route first, its rules and matches as written.
  std::ranges::stable_sort(matches, {}, &RankedMatch::rank);
  for (auto& match : matches) *table.add_matches() = std::move(match.match);
  // No name in Kubernetes has one of ":@".
  table.set_name(fmt::format("{}{}{}", place.service.text(),
                             all_ports ? "" : fmt::format(":{}", fmt::join(ports, ",")),
                             place.consumer.empty() ? "" : "@" + place.consumer));
  context.emit(pb::ROUTES, table.name(), resource);
}

// Where a route named a parent, what ports that meant.
struct Named {
  Place place;
  size_t route, parent;  // indices
  Ports ports;
};

void judge(Context& context, const Named& named, const std::vector<Prepared>& routes,
           const PortTable& table) {
  const auto effective = [&](uint16_t port) {
    const auto found = table.find(port);
    return found != table.end() && std::ranges::find(found->second, named.route) != found->second.end();
  };
  ParentVerdict verdict{routes[named.route].route.object(), named.parent, {}, {}};
  if (std::ranges::none_of(named.ports, effective)) {
    verdict.reason = "Conflicted";
    verdict.text = "a GRPCRoute is attached to every port of Service " + named.place.service.text() +
                   " that is meant, and comes before HTTPRoutes";
  }
  context.out.parents.push_back(std::move(verdict));
}

}  // namespace

void derive_routes(Context& context) {
  const std::vector<Prepared> routes = prepare_all(context);
  std::map<Place, Attached> places;
  std::vector<Named> named;
  for (size_t index = 0; index < routes.size(); ++index) {
    const Route& route = routes[index].route;
    for (size_t i = 0; i < route.spec->parents.size(); ++i) {
      const ParentRef& parent = route.spec->parents[i];
      if (!parent.is_service()) continue;  // a Gateway's: somebody else's
      const Ports ports = ports_of(context, route, i);
      if (ports.empty()) continue;
      const Place place{parent.key(), parent.ns == route.meta->ns ? "" : route.meta->ns};
      places[place][index].insert(ports.begin(), ports.end());
      named.push_back({place, index, i, ports});
    }
  }
  std::map<Place, PortTable> at;
  for (const auto& [place, attached] : places) {
    at[place] = by_port(context, place, attached, routes);
    std::map<std::vector<size_t>, std::vector<uint16_t>> tables;  // the routes → the ports they meet at
    for (const auto& [port, indices] : at[place]) tables[indices].push_back(port);
    Ports all;
    for (const auto& port : context.objects.services.at(place.service).ports) all.insert(port.port);
    for (const auto& [indices, ports] : tables) {
      emit_table(context, place, ports, ports.size() == all.size(), indices, routes);
    }
  }
  for (const auto& one : named) judge(context, one, routes, at.at(one.place));
}

}  // namespace weir::agent

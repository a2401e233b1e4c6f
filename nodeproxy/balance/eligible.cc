// Walking a service's slices, and what is worked out from them once. See eligible.h.
#include "nodeproxy/balance/eligible.h"

#include <algorithm>
#include <numeric>

namespace weir::balance {
namespace {

using config::Endpoint;
using config::EndpointPort;
using config::EndpointSlice;
using config::LocalityPreference;

enum class Readiness { ready, terminating, none };

constexpr double kRampFloor = 0.1;  // a newcomer's first share of its weight
constexpr int kRampSteps = 32;      // weights grow in so many steps
constexpr double kRampScale = 64;   // so that a weight of 1 can grow too

const EndpointPort* port_named(const EndpointSlice& slice, const std::string& name) {
  for (const EndpointPort& port : slice.ports)
    if (port.name == name) return &port;
  return nullptr;
}

Readiness readiness_of(const Endpoint& endpoint, const config::Service& service) {
  if (endpoint.ready || service.publish_not_ready) return Readiness::ready;
  return endpoint.serving && endpoint.terminating ? Readiness::terminating : Readiness::none;
}

bool in_zone(const Endpoint& endpoint, std::string_view zone) {
  if (zone.empty()) return false;
  if (endpoint.hint_zones.empty()) return endpoint.locality.zone == zone;
  return std::find(endpoint.hint_zones.begin(), endpoint.hint_zones.end(), zone) != endpoint.hint_zones.end();
}

// 0 is nearest.
size_t tier_of(const Endpoint& endpoint, const Request& request) {
  switch (request.service.locality) {
    case LocalityPreference::none: return 0;
    case LocalityPreference::same_zone: return in_zone(endpoint, request.zone) ? 0 : 1;
    case LocalityPreference::same_node:
      if (!request.node.empty() && endpoint.node == request.node) return 0;
      return in_zone(endpoint, request.zone) ? 1 : 2;
  }
  return 0;
}

// Every endpoint that could serve the port, whatever its readiness: visit(port, endpoint) until it returns false.
template <typename Visit>
void walk(const Request& request, const std::string& port_name, Visit&& visit) {
  for (const auto& slice : request.service.slices) {
    const EndpointPort* port = port_named(*slice, port_name);
    if (port == nullptr) continue;
    for (const Endpoint& endpoint : slice->endpoints) {
      if (endpoint.weight == 0 || endpoint.address.is_v4() != request.v4) continue;
      if (request.service.internal_traffic_local && (request.node.empty() || endpoint.node != request.node))
        continue;
      if (!visit(*port, endpoint)) return;
    }
  }
}

// How much of its weight an endpoint has by now, in (0, 1].
double ramp(const Member& member, TimePoint now, config::Milliseconds window) {
  if (window.count() == 0 || member.since == TimePoint::min() || now - member.since >= window) return 1;
  return std::max(kRampFloor, std::chrono::duration<double>(now - member.since) / window);
}

uint64_t weight_of(const Tier& tier, size_t from, size_t to) {
  uint64_t sum = 0;
  for (size_t i = from; i < to; ++i) sum += tier.candidates[i].endpoint->weight;
  return sum;
}

}  // namespace

void Eligible::build(const Request& request, const std::string& port_name, Members& members,
                     Outliers& outliers) {
  collect(request, port_name, members);
  const config::Traffic& traffic = request.service.traffic;
  outliers.configure(traffic.outlier, members, request.now);
  const bool leave_out = outliers.any() && outliers.honoured(members);
  ramping_ = false;
  if (traffic.slow_start.count() > 0) {
    members.for_each([&](const Member& member) {
      ramping_ = ramping_ || (members.present(member) && ramp(member, request.now, traffic.slow_start) < 1);
    });
  }
  for (size_t i = 0; i < tiers_max; ++i) finish(tiers_[i], i, request, leave_out);
  share_out();
  service_ = &request.service;
  revision_ = request.service.revision;
  changes_ = outliers.changes();
  valid_until_ = TimePoint::max();
  if (ramping_)
    valid_until_ = request.now + std::max(traffic.slow_start / kRampSteps, config::Milliseconds(1));
}

void Eligible::collect(const Request& request, const std::string& port_name, Members& members) {
  for (Tier& tier : tiers_) tier.candidates.clear();
  bool any_ready = false;
  walk(request, port_name, [&](const EndpointPort&, const Endpoint& endpoint) {
    any_ready = readiness_of(endpoint, request.service) == Readiness::ready;
    return !any_ready;
  });
  const Readiness wanted = any_ready ? Readiness::ready : Readiness::terminating;
  members.begin_build();
  walk(request, port_name, [&](const EndpointPort& port, const Endpoint& endpoint) {
    if (readiness_of(endpoint, request.service) != wanted) return true;
    Member* member = members.join(endpoint, request.now);
    // Null: two slices have it, as while a controller moves it from one to the other. The first says what there is.
    if (member != nullptr)
      tiers_[tier_of(endpoint, request)].candidates.push_back({&port, &endpoint, member});
    return true;
  });
  members.end_build(request.now);
  empty_ = members.present() == 0;
}

void Eligible::finish(Tier& tier, size_t index, const Request& request, bool leave_out) {
  tier.usable = static_cast<uint32_t>(tier.candidates.size());
  if (leave_out) {
    const auto kept = [](const Candidate& candidate) { return !candidate.member->ejected; };
    const auto end = std::stable_partition(tier.candidates.begin(), tier.candidates.end(), kept);
    tier.usable = static_cast<uint32_t>(end - tier.candidates.begin());
  }
  for (uint32_t i = 0; i < tier.candidates.size(); ++i) {
    tier.candidates[i].member->tier = static_cast<uint32_t>(index);
    tier.candidates[i].member->place = i;
  }
  fill_line(tier, request);
  fill_table(tier, request.service.balancer);
}

void Eligible::fill_line(Tier& tier, const Request& request) {
  tier.line.clear();
  tier.weights_even = true;
  for (uint32_t i = 0; i < tier.usable; ++i) {
    const Candidate& candidate = tier.candidates[i];
    uint64_t weight = candidate.endpoint->weight;
    tier.weights_even = tier.weights_even && weight == tier.candidates.front().endpoint->weight;
    if (ramping_) {
      const double grown = ramp(*candidate.member, request.now, request.service.traffic.slow_start);
      weight = std::max<uint64_t>(1, static_cast<uint64_t>(static_cast<double>(weight) * grown * kRampScale));
    }
    tier.line.add(weight);
  }
}

// What a tier can take of the traffic is its usable weight over its whole one, with the over-provisioning; what is left
// goes to the next. When all together cannot take it all, each takes more.
void Eligible::share_out() {
  double left = 1;
  for (Tier& tier : tiers_) {
    const size_t all = tier.candidates.size();
    const double usable = tier.usable == all ? 1
                                             : static_cast<double>(weight_of(tier, 0, tier.usable)) /
                                                   static_cast<double>(weight_of(tier, 0, all));
    tier.share = tier.usable == 0 ? 0 : std::min(left, usable * kOverprovisioning);
    left -= tier.share;
  }
  if (left > 0 && left < 1)
    for (Tier& tier : tiers_) tier.share /= 1 - left;
}

void Eligible::fill_table(Tier& tier, config::Balancer balancer) {
  const bool ring = balancer == config::Balancer::ring_hash, maglev = balancer == config::Balancer::maglev;
  if ((!ring && !maglev) || tier.candidates.empty()) {
    tier.by_id.clear();
    tier.table = std::monostate{};
    return;
  }
  tier.by_id.resize(tier.candidates.size());
  std::iota(tier.by_id.begin(), tier.by_id.end(), 0U);
  std::sort(tier.by_id.begin(), tier.by_id.end(), [&](uint32_t a, uint32_t b) {
    return tier.candidates[a].endpoint->id < tier.candidates[b].endpoint->id;
  });
  std::vector<Weighted> weighted;
  weighted.reserve(tier.by_id.size());
  uint64_t fingerprint = tier.by_id.size();
  for (const uint32_t i : tier.by_id) {
    const Endpoint& endpoint = *tier.candidates[i].endpoint;
    weighted.push_back({endpoint.id, endpoint.weight});
    fingerprint = mix(fingerprint ^ endpoint.id) + endpoint.weight;
  }
  const bool right_kind =
      ring ? std::holds_alternative<Ring>(tier.table) : std::holds_alternative<Maglev>(tier.table);
  if (right_kind && tier.table_of == fingerprint) return;
  tier.table_of = fingerprint;
  ++tier.table_builds;
  if (ring) {
    tier.table.emplace<Ring>(weighted);
  } else {
    tier.table.emplace<Maglev>(weighted);
  }
}

size_t Eligible::table_bytes() const {
  size_t sum = 0;
  for (const Tier& tier : tiers_) {
    if (const Ring* ring = std::get_if<Ring>(&tier.table)) sum += ring->bytes();
    if (const Maglev* maglev = std::get_if<Maglev>(&tier.table)) sum += maglev->bytes();
  }
  return sum;
}

void Eligible::drop_tables() {
  for (Tier& tier : tiers_) tier.table = std::monostate{};
  revision_ = 0;
}

}  // namespace weir::balance

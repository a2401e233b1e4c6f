// Eligibility in one walk over the service's slices, choice in a second; nothing is allocated and no list is built.
// See pick.h for the rules.
//
// Weights are lengths on a line: candidate i owns [start_i, start_i + weight_i), and every balancer is a way to choose a
// position on it.
#include "nodeproxy/balance/pick.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <optional>

namespace weir::balance {
namespace {

using config::Endpoint;
using config::EndpointPort;
using config::EndpointSlice;
using config::LocalityPreference;

constexpr int kTiers = 3;

enum class Readiness { ready, terminating, none };

// What one walk learns of the candidates of one readiness in one tier.
struct Sum {
  uint64_t count = 0;
  uint64_t weight = 0;
  uint64_t divisor = 0;  // greatest common divisor of the weights
};

// The group that is chosen from.
struct Group {
  Readiness readiness = Readiness::ready;
  int tier = 0;
  Sum sum;
};

struct Candidate {
  const EndpointPort* port = nullptr;
  const Endpoint* endpoint = nullptr;
  uint64_t start = 0;  // of its length on the group's line
};

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
int tier_of(const Endpoint& endpoint, const Request& request) {
  switch (request.service.locality) {
    case LocalityPreference::none: return 0;
    case LocalityPreference::same_zone: return in_zone(endpoint, request.zone) ? 0 : 1;
    case LocalityPreference::same_node:
      if (!request.node.empty() && endpoint.node == request.node) return 0;
      return in_zone(endpoint, request.zone) ? 1 : 2;
  }
  return 0;
}

bool tried(const Request& request, const Endpoint& endpoint) {
  return std::find(request.tried.begin(), request.tried.end(), endpoint.id) != request.tried.end();
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

// The candidates of a group, in order: visit(candidate) until it returns false.
template <typename Visit>
void walk_group(const Request& request, const std::string& port_name, const Group& group, Visit&& visit) {
  uint64_t start = 0;
  walk(request, port_name, [&](const EndpointPort& port, const Endpoint& endpoint) {
    if (readiness_of(endpoint, request.service) != group.readiness ||
        tier_of(endpoint, request) != group.tier || tried(request, endpoint)) {
      return true;
    }
    const Candidate candidate{&port, &endpoint, start};
    start += endpoint.weight;
    return visit(candidate);
  });
}

std::optional<Group> choose_group(const Request& request, const std::string& port_name) {
  std::array<std::array<Sum, kTiers>, 2> sums{};
  bool any_ready = false;
  walk(request, port_name, [&](const EndpointPort&, const Endpoint& endpoint) {
    const Readiness readiness = readiness_of(endpoint, request.service);
    if (readiness == Readiness::none) return true;
    any_ready = any_ready || readiness == Readiness::ready;
    if (tried(request, endpoint)) return true;
    Sum& sum = sums[static_cast<size_t>(readiness)][static_cast<size_t>(tier_of(endpoint, request))];
    ++sum.count;
    sum.weight += endpoint.weight;
    if (sum.divisor != endpoint.weight) sum.divisor = std::gcd(sum.divisor, uint64_t{endpoint.weight});
    return true;
  });
  const Readiness readiness = any_ready ? Readiness::ready : Readiness::terminating;
  for (int tier = 0; tier < kTiers; ++tier) {
    const Sum& sum = sums[static_cast<size_t>(readiness)][static_cast<size_t>(tier)];
    if (sum.count > 0) return Group{readiness, tier, sum};
  }
  return std::nullopt;
}

// One walk's worth of choosing, for the balancers below.
struct Chooser {
  const Request& request;
  const std::string& port_name;
  const Group& group;
  State& state;

  Candidate at(uint64_t position) const {
    Candidate found;
    walk_group(request, port_name, group, [&](const Candidate& candidate) {
      found = candidate;
      return position >= candidate.start + candidate.endpoint->weight;
    });
    return found;
  }

  Candidate random() const { return at(state.random_below(group.sum.weight)); }

  // Power of two choices: two different candidates by weight, then the one with fewer open connections for its weight.
  // With none open it is the first, so that weights are kept at low load too.
  Candidate least_connections() const {
    const Candidate first = random();
    const uint64_t rest = group.sum.weight - first.endpoint->weight;
    if (rest == 0) return first;
    uint64_t position = state.random_below(rest);
    if (position >= first.start) position += first.endpoint->weight;
    const Candidate second = at(position);
    const uint64_t load_first = uint64_t{state.open(first.endpoint->id)} * second.endpoint->weight;
    const uint64_t load_second = uint64_t{state.open(second.endpoint->id)} * first.endpoint->weight;
    return load_second < load_first ? second : first;
  }

  // Turns walk the line in its smallest equal pieces, each piece once in a round, so every round keeps the weights
  // exactly. Equal weights: one after the other. Unequal ones: in strides of the golden ratio, prime to the round, so
  // that the pieces of a heavy endpoint do not come in a row.
  Candidate round_robin() const {
    const uint64_t key = std::hash<std::string_view>()(request.service.name) ^
                         (uint64_t{request.port} << 1 | uint64_t{request.v4}) * 0x9e3779b97f4a7c15ULL;
    const uint64_t round = group.sum.weight / group.sum.divisor;
    uint64_t stride = 1;
    if (round != group.sum.count) {
      stride = std::max<uint64_t>(1, static_cast<uint64_t>(static_cast<double>(round) * 0.6180339887498949));
      while (std::gcd(stride, round) != 1) ++stride;
    }
    const uint64_t turn = state.next_turn(key) % round;
    const auto piece = static_cast<uint64_t>(static_cast<unsigned __int128>(turn) * stride % round);
    return at(piece * group.sum.divisor);
  }

  // Weighted rendezvous hashing: -ln(u) / weight, the least wins.
  Candidate by_client() const {
    uint64_t high = 0, low = 0;
    std::memcpy(&high, request.client.bytes().data(), 8);
    std::memcpy(&low, request.client.bytes().data() + 8, 8);
    const uint64_t client = mix(high) ^ low;
    Candidate best;
    double best_score = std::numeric_limits<double>::infinity();
    walk_group(request, port_name, group, [&](const Candidate& candidate) {
      const uint64_t hash = mix(mix(client) ^ candidate.endpoint->id);
      const double uniform = static_cast<double>((hash >> 11) + 1) * 0x1.0p-53;  // (0, 1]
      const double score = -std::log(uniform) / candidate.endpoint->weight;
      if (score < best_score || best.endpoint == nullptr) {
        best = candidate;
        best_score = score;
      }
      return true;
    });
    return best;
  }

  static uint64_t mix(uint64_t value) {
    value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9ULL;
    value = (value ^ (value >> 27)) * 0x94d049bb133111ebULL;
    return value ^ (value >> 31);
  }

  Candidate choose() const {
    if (request.service.session_affinity_seconds > 0) return by_client();
    switch (request.service.balancer) {
      case config::Balancer::automatic:
      case config::Balancer::least_connections: return least_connections();
      case config::Balancer::round_robin: return round_robin();
      case config::Balancer::random: return random();
      default: return least_connections();
    }
    return random();
  }
};

}  // namespace

Result<Choice> pick(const Request& request, State& state) {
  const config::ServicePort* port = request.service.port(request.port);
  if (port == nullptr) return fail(Source::local, Reason::unknown_port);
  const std::optional<Group> group = choose_group(request, port->name);
  if (!group) return fail(Source::local, Reason::no_endpoint);
  const Candidate chosen = Chooser{request, port->name, *group, state}.choose();
  return Choice{chosen.endpoint, port, chosen.port};
}

}  // namespace weir::balance

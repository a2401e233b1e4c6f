// See choose.h; line.h says how positions on a line become choices.
#include "nodeproxy/balance/choose.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>

namespace weir::balance {
namespace {

using config::Balancer;

Balancer balancer_for(const Request& request) {
  const Balancer asked = request.service.balancer;
  switch (asked) {
    case Balancer::automatic:
    case Balancer::peak_ewma: return request.http ? Balancer::peak_ewma : Balancer::least_connections;
    case Balancer::least_connections:
    case Balancer::least_request: return request.http ? Balancer::least_request : Balancer::least_connections;
    case Balancer::ring_hash:
    case Balancer::maglev: return request.http && !request.hash ? Balancer::least_request : asked;
    case Balancer::round_robin:
    case Balancer::random: return asked;
  }
  return Balancer::random;
}

// A client, for session affinity.
uint64_t client_key(const Ip& client) {
  uint64_t high = 0, low = 0;
  std::memcpy(&high, client.bytes().data(), 8);
  std::memcpy(&low, client.bytes().data() + 8, 8);
  return mix(mix(high) ^ low);
}

// [0, 1)
double unit(uint64_t bits) { return static_cast<double>(bits >> 11) * 0x1.0p-53; }

class Chooser {
 public:
  Chooser(const Request& request, Group& group, State& state)
      : request_(request),
        group_(group),
        eligible_(group.eligible()),
        state_(state),
        left_out_(state.scratch()) {}

  const Candidate* choose() {
    if (const Candidate* preferred = preference()) return preferred;
    const bool affinity = request_.service.session_affinity_seconds > 0;
    const Balancer balancer = balancer_for(request_);
    const bool hashed = !affinity && (balancer == Balancer::ring_hash || balancer == Balancer::maglev);
    uint64_t key = 0;
    if (affinity) key = client_key(request_.client);
    if (hashed) key = request_.http ? *request_.hash : hash_of(request_.client);

    count_tried();
    const Tier* tier = choose_tier(affinity || hashed, key);
    if (tier == nullptr) return last_resort();
    if (affinity) return by_rendezvous(*tier, key);
    if (hashed)
      if (const Candidate* found = by_table(*tier, key)) return found;
    gather_tried(*tier);
    return &tier->candidates[spread(*tier, balancer)];
  }

 private:
  bool tried(uint64_t id) const {
    return std::find(request_.tried.begin(), request_.tried.end(), id) != request_.tried.end();
  }

  // Where each endpoint that was tried stands, once: visit(member). Only those that are usable.
  template <typename Visit>
  void for_each_tried(Visit&& visit) const {
    for (size_t i = 0; i < request_.tried.size(); ++i) {
      const auto before = request_.tried.first(i);
      if (std::find(before.begin(), before.end(), request_.tried[i]) != before.end()) continue;
      const Member* member = group_.members().find(request_.tried[i]);
      if (member != nullptr && member->place < eligible_.tier(member->tier).usable) visit(*member);
    }
  }
  void count_tried() {
    for_each_tried([&](const Member& member) { ++tried_in_[member.tier]; });
  }
  void gather_tried(const Tier& tier) {
    left_out_.clear();
    for_each_tried([&](const Member& member) {
      if (&eligible_.tier(member.tier) == &tier) left_out_.push_back(member.place);
    });
    std::sort(left_out_.begin(), left_out_.end());
  }

  const Candidate* preference() const {
    if (!request_.prefer || tried(*request_.prefer)) return nullptr;
    const Member* member = group_.members().find(*request_.prefer);
    if (member == nullptr || member->place >= eligible_.tier(member->tier).usable) return nullptr;
    return &eligible_.tier(member->tier).candidates[member->place];
  }

  // By the tiers' shares of the traffic; a key always draws the same. The next nearest when all of that one were tried.
  const Tier* choose_tier(bool sticky, uint64_t key) const {
    const auto left = [&](size_t i) { return eligible_.tier(i).usable > tried_in_[i]; };
    if (eligible_.tier(0).share < 1) {
      double position = unit(sticky ? mix(key + 1) : state_.random().next());
      for (size_t i = 0; i < Eligible::tiers_max; ++i) {
        if (position < eligible_.tier(i).share) {
          if (left(i)) return &eligible_.tier(i);
          break;
        }
        position -= eligible_.tier(i).share;
      }
    }
    for (size_t i = 0; i < Eligible::tiers_max; ++i)
      if (left(i)) return &eligible_.tier(i);
    return nullptr;
  }

  // Better an ejected endpoint than none, or than one that just failed.
  const Candidate* last_resort() const {
    const Candidate* chosen = nullptr;
    uint64_t seen = 0;
    for (size_t i = 0; i < Eligible::tiers_max && chosen == nullptr; ++i) {
      const Tier& tier = eligible_.tier(i);
      for (size_t at = tier.usable; at < tier.candidates.size(); ++at)
        if (!tried(tier.candidates[at].endpoint->id) && state_.random().below(++seen) == 0)
          chosen = &tier.candidates[at];
    }
    return chosen;
  }

  // Weighted rendezvous hashing: -ln(u) / weight, the least wins; of equal weights the greatest u. By the weights
  // themselves, not by what of them a newcomer has already: a client moves once or not at all.
  const Candidate* by_rendezvous(const Tier& tier, uint64_t key) const {
    const Candidate* best = nullptr;
    uint64_t best_hash = 0;
    double best_score = std::numeric_limits<double>::infinity();
    for (uint32_t i = 0; i < tier.usable; ++i) {
      const Candidate& candidate = tier.candidates[i];
      if (!request_.tried.empty() && tried(candidate.endpoint->id)) continue;
      const uint64_t hash = mix(key ^ candidate.endpoint->id) >> 11;
      if (tier.weights_even) {
        if (best != nullptr && hash <= best_hash) continue;
      } else {
        const double uniform = static_cast<double>(hash + 1) * 0x1.0p-53;  // (0, 1]
        const double score = -std::log(uniform) / candidate.endpoint->weight;
        if (best != nullptr && score >= best_score) continue;
        best_score = score;
      }
      best = &candidate;
      best_hash = hash;
    }
    return best;
  }

  const Candidate* by_table(const Tier& tier, uint64_t key) const {
    const auto usable = [&](uint32_t rank) {
      const uint32_t at = tier.by_id[rank];
      return at < tier.usable && (request_.tried.empty() || !tried(tier.candidates[at].endpoint->id));
    };
    uint32_t rank = Ring::nobody;
    if (const Ring* ring = std::get_if<Ring>(&tier.table)) rank = ring->find(key, usable);
    if (const Maglev* maglev = std::get_if<Maglev>(&tier.table)) rank = maglev->find(key, usable);
    return rank == Ring::nobody ? nullptr : &tier.candidates[tier.by_id[rank]];
  }

  uint32_t spread(const Tier& tier, Balancer balancer) {
    switch (balancer) {
      case Balancer::round_robin: return round_robin(tier);
      case Balancer::peak_ewma: {
        const double even = static_cast<double>(tier.line.total()) / static_cast<double>(tier.line.count());
        return better_of_two(
            tier, [&](uint32_t first, uint32_t second) { return quicker(tier, first, second, even); });
      }
      case Balancer::least_request:
        return better_of_two(tier, [&](uint32_t first, uint32_t second) {
          return less_loaded(tier, first, second, in_flight(tier, first), in_flight(tier, second));
        });
      case Balancer::least_connections:
        return better_of_two(tier, [&](uint32_t first, uint32_t second) {
          return less_loaded(tier, first, second, open(tier, first), open(tier, second));
        });
      default: return draw(tier);
    }
  }

  uint32_t draw(const Tier& tier) const {
    return tier.line.at(state_.random().below(tier.line.total_without(left_out_)), left_out_);
  }

  // Power of two choices: two different ones by weight, then the better; the first when they are equal, so that weights
  // are kept without load too. second_better(first, second).
  template <typename Better>
  uint32_t better_of_two(const Tier& tier, Better&& second_better) {
    const uint32_t first = draw(tier);
    if (tier.line.count() < left_out_.size() + 2) return first;
    left_out_.insert(std::upper_bound(left_out_.begin(), left_out_.end(), first), first);
    const uint32_t second = draw(tier);
    return second_better(first, second) ? second : first;
  }

  uint32_t in_flight(const Tier& tier, uint32_t item) const {
    return tier.candidates[item].member->in_flight;
  }
  uint32_t open(const Tier& tier, uint32_t item) const {
    return state_.open(tier.candidates[item].endpoint->id);
  }
  static bool less_loaded(const Tier& tier, uint32_t first, uint32_t second, uint64_t first_load,
                          uint64_t second_load) {
    return second_load * tier.line.weight(first) < first_load * tier.line.weight(second);
  }

  // Latency × (in flight + 1), with what is in flight taken by weight: as much as it would be at an endpoint of the
  // average one, `even`. Without anything in flight weights then say nothing here: they were in the draw.
  bool quicker(const Tier& tier, uint32_t first, uint32_t second, double even) const {
    const double one = latency(tier, first), other = latency(tier, second);
    const auto [low, high] = std::minmax(one, other);
    if (high <= low * kSimilarLatency)
      return less_loaded(tier, first, second, in_flight(tier, first), in_flight(tier, second));
    const auto cost = [&](double latency, uint32_t item) {
      return latency * (1 + in_flight(tier, item) * even / static_cast<double>(tier.line.weight(item)));
    };
    return cost(other, second) < cost(one, first);
  }
  double latency(const Tier& tier, uint32_t item) const {
    const double estimate = tier.candidates[item].member->latency.estimate_ns(request_.now, group_.picks());
    return estimate == 0 ? 0 : std::max(estimate, PeakEwma::floor_ns);
  }

  // Turns walk the line in its smallest equal pieces, each piece once in a round, so every round keeps the weights
  // exactly. Equal weights: one after the other. Unequal ones: in strides of the golden ratio, prime to the round, so
  // that the pieces of a heavy endpoint do not come in a row.
  uint32_t round_robin(const Tier& tier) {
    const uint64_t divisor = tier.line.divisor();
    const uint64_t round = tier.line.total_without(left_out_) / divisor;
    uint64_t stride = 1;
    if (!tier.line.even()) {
      stride = std::max<uint64_t>(1, static_cast<uint64_t>(static_cast<double>(round) * 0.6180339887498949));
      while (std::gcd(stride, round) != 1) ++stride;
    }
    const uint64_t turn = group_.next_turn() % round;
    const auto piece = static_cast<uint64_t>(static_cast<unsigned __int128>(turn) * stride % round);
    return tier.line.at(piece * divisor, left_out_);
  }

  const Request& request_;
  Group& group_;
  const Eligible& eligible_;
  State& state_;
  std::vector<uint32_t>& left_out_;  // of the chosen tier: places of those that were tried, rising
  std::array<uint32_t, Eligible::tiers_max> tried_in_{};
};

}  // namespace

const Candidate* choose(const Request& request, Group& group, State& state) {
  if (group.eligible().empty()) return nullptr;
  return Chooser(request, group, state).choose();
}

}  // namespace weir::balance

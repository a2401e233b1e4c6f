#pragma once
// What a worker's balancer remembers between picks: open connections per endpoint, groups (health, requests in flight,
// lists, hash tables), what it counts by service, and its dice. Everything here is bounded, and what vanished fades.
// Owner: one per worker; nothing is shared. Thread: that worker's. Lifetime: longer than any lease or permit. The clock is
// the caller's.
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "nodeproxy/balance/groups.h"
#include "nodeproxy/balance/lease.h"
#include "nodeproxy/balance/random.h"
#include "nodeproxy/balance/request.h"
#include "nodeproxy/balance/service_uses.h"
#include "nodeproxy/base/error.h"

namespace weir::balance {

// An endpoint that is left out now.
struct EjectedView {
  std::string_view service;  // valid until the next pick
  uint16_t port = 0;         // of the service
  Ip address;
  uint64_t endpoint_id = 0;
  Cause cause = Cause::consecutive_failures;
  uint32_t times_in_row = 0;
  TimePoint until;
};

class State {
 public:
  // One open connection at an endpoint, from opened() to the end of its life.
  class Lease {
   public:
    Lease() = default;
    Lease(Lease&& other) noexcept : state_(std::exchange(other.state_, nullptr)), id_(other.id_) {}
    Lease& operator=(Lease&& other) noexcept {
      if (this != &other) {
        release();
        state_ = std::exchange(other.state_, nullptr);
        id_ = other.id_;
      }
      return *this;
    }
    ~Lease() { release(); }
    void release() {
      if (state_ != nullptr) std::exchange(state_, nullptr)->closed(id_);
    }

   private:
    friend class State;
    Lease(State& state, uint64_t id) : state_(&state), id_(id) {}
    State* state_ = nullptr;
    uint64_t id_ = 0;
  };

  // Workers should have different seeds; tests give fixed ones.
  explicit State(uint64_t seed, const Groups::Limits& limits = {}) : random_(seed), groups_(limits) {}
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  // Connections. Count from the moment an endpoint is chosen, not from when it answers: else a burst all goes to one.
  void opened(uint64_t endpoint_id) { ++open_[endpoint_id]; }
  void closed(uint64_t endpoint_id);
  [[nodiscard]] Lease lease(uint64_t endpoint_id) {
    opened(endpoint_id);
    return Lease(*this, endpoint_id);
  }
  uint32_t open(uint64_t endpoint_id) const {
    const auto found = open_.find(endpoint_id);
    return found == open_.end() ? 0 : found->second;
  }
  size_t tracked_endpoints() const { return open_.size(); }

  // Requests. Right after the pick: the choice holds no longer than that.
  [[nodiscard]] RequestLease request(const Choice& choice, TimePoint now) {
    return RequestLease(*choice.group, *choice.member, now);
  }

  // Outliers, for metrics and the admin socket.
  std::vector<EjectedView> ejected(TimePoint now) const;
  const ServiceEjections& ejections() const { return groups_.ejections(); }

  // The service's circuit breaker; error: circuit_open.
  Result<Permit> admit(const config::Service& service, Use use, TimePoint now);
  // How often a breaker has said no, by service and by what it was asked for (indexed by Use), since the start.
  using Refusals = std::unordered_map<std::string, std::array<uint64_t, 3>>;
  const Refusals& refusals() const { return refusals_; }
  // Its retry budget: every request once, at its first try; then whether it may be retried, which counts it.
  void count_request(const config::Service& service, TimePoint now);
  bool may_retry(const config::Service& service, TimePoint now);

  Random& random() { return random_; }
  Groups& groups() { return groups_; }
  const Groups& groups() const { return groups_; }
  const ServiceUses& uses() const { return uses_; }
  std::vector<uint32_t>& scratch() { return scratch_; }  // for one pick; kept, so that picks do not allocate

 private:
  Random random_;
  Groups groups_;
  ServiceUses uses_;
  Refusals refusals_;
  std::unordered_map<uint64_t, uint32_t> open_;  // an endpoint without open connections has no entry
  std::vector<uint32_t> scratch_;
};

}  // namespace weir::balance

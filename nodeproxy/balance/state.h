#pragma once
// What a worker's balancer remembers between picks: open connections per endpoint, the turn of each round-robin
// service, and its random source. Keyed by Endpoint::id, so that it survives new snapshots; an endpoint without open
// connections has no entry, so one that vanishes leaves nothing behind.
// Owner: one per worker. Thread: that worker's. Lifetime: longer than any Lease.
#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <utility>

namespace weir::balance {

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
  explicit State(uint64_t seed) : random_(seed) {}
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  // Count from the moment an endpoint is chosen, not from when it answers: else a burst all goes to one.
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

  // Uniform in [0, bound); bound > 0.
  uint64_t random_below(uint64_t bound);
  // The turn of a round-robin service: rises by one each time, from a random start so that workers do not march in step.
  uint64_t next_turn(uint64_t service_key);

 private:
  // Above this the turns are forgotten and begin anew: a bound, not a tuning knob.
  static constexpr size_t kTurnsMax = 65'536;
  uint64_t random();

  uint64_t random_;
  std::unordered_map<uint64_t, uint32_t> open_;
  std::unordered_map<uint64_t, uint64_t> turns_;
};

}  // namespace weir::balance

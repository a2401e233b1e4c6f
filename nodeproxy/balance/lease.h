#pragma once
// A request under way at an endpoint: it counts in the endpoint's load from the moment the endpoint is chosen, and says
// how it went. An opaque connection's attempt to connect is reported the same way.
//
//   auto lease = state.request(*choice, now);
//   …the answer's head came:            lease.answered({.latency = now - sent}, now);
//   …its body ended, or all was reset:  lease.release();
//
// Only the first report counts. None: nothing is learnt.
// Thread: the worker's. Lifetime: shorter than the State's; snapshots may come and go.
#include <utility>

#include "nodeproxy/balance/group.h"

namespace weir::balance {

class RequestLease {
 public:
  RequestLease() = default;
  RequestLease(Group& group, Member& member, TimePoint now) : group_(&group), member_(&member) {
    group.begin(member, now);
  }
  RequestLease(RequestLease&& other) noexcept
      : group_(std::exchange(other.group_, nullptr)), member_(other.member_), answered_(other.answered_) {}
  RequestLease& operator=(RequestLease&& other) noexcept {
    if (this != &other) {
      release();
      group_ = std::exchange(other.group_, nullptr);
      member_ = other.member_;
      answered_ = other.answered_;
    }
    return *this;
  }
  ~RequestLease() { release(); }

  explicit operator bool() const { return group_ != nullptr; }

  void answered(const Outcome& outcome, TimePoint now) {
    if (group_ == nullptr || std::exchange(answered_, true)) return;
    group_->outcome(*member_, outcome, now);
  }
  void release() {
    if (group_ != nullptr) std::exchange(group_, nullptr)->end(*member_);
  }
  void release(const Outcome& outcome, TimePoint now) {
    answered(outcome, now);
    release();
  }

 private:
  Group* group_ = nullptr;
  Member* member_ = nullptr;
  bool answered_ = false;
};

}  // namespace weir::balance

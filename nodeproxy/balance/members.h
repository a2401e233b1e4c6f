#pragma once
// The endpoints a Group has met: those in its list now, and for a while those that were, so that a pod which is unready
// for a moment comes back to its history. Each build of the list is numbered; who is in the newest one is present.
// Owner: a Group. Thread: its worker's. Lifetime: pointers to a Member hold until it fades, which none with a request in
// flight does, and none within the minute after it went.
#include <cstddef>
#include <cstdint>
#include <unordered_map>

#include "nodeproxy/balance/member.h"
#include "nodeproxy/config/snapshot.h"

namespace weir::balance {

class Members {
 public:
  static constexpr auto fade = std::chrono::seconds(60);

  // A new list begins.
  void begin_build() {
    had_others_ = present_ > 0;
    present_ = 0;
    ++build_;
  }
  // An endpoint of it; null when it is there already.
  Member* join(const config::Endpoint& endpoint, TimePoint now);
  // The list is complete.
  void end_build(TimePoint now);

  size_t present() const { return present_; }
  bool present(const Member& member) const { return member.seen == build_; }
  // A present one.
  Member* find(uint64_t id) {
    const auto found = members_.find(id);
    return found == members_.end() || !present(found->second) ? nullptr : &found->second;
  }

  template <typename Visit>
  void for_each(Visit&& visit) {
    for (auto& [id, member] : members_) visit(member);
  }
  template <typename Visit>
  void for_each(Visit&& visit) const {
    for (const auto& [id, member] : members_) visit(member);
  }

  // Forgets those that went a while ago.
  void forget_gone(TimePoint now);
  size_t size() const { return members_.size(); }

 private:
  std::unordered_map<uint64_t, Member> members_;
  uint64_t build_ = 0;
  size_t present_ = 0;
  bool had_others_ = false;
};

}  // namespace weir::balance

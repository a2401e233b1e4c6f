#pragma once
// What each source address holds of a worker, and the most that it may: connections and sessions open, handshakes under
// way and begun a second, receive windows granted. A connection is a descriptor: the one that was accepted, and the one
// that was made for it if it goes on as a connection of its own. The address is the one that the kernel shows as the peer of an
// accepted connection (a pod of this node when it dials out), so nobody is charged for somebody else. What a limit
// refuses is refused at once, as `overloaded`, counted by limit, and said in the log now and then.
// Each worker has its own count, and a limit is one of a worker: what it guards is the worker's memory and time, a count
// that is shared would be a cache line that every accept of every worker writes, and whoever chose source ports so that
// all of them meet one worker would have the whole of a shared limit there.
// Thread: one worker. Lifetime: the worker's; longer than flows, lanes and their permits. An entry goes once nothing is
// held and its handshakes are forgotten.
#include <array>
#include <memory>
#include <string_view>
#include <unordered_map>

#include "nodeproxy/base/budget.h"
#include "nodeproxy/base/error.h"
#include "nodeproxy/base/ip.h"
#include "nodeproxy/base/permit.h"
#include "nodeproxy/base/seldom.h"
#include "nodeproxy/io/driver.h"

namespace weir::net {

// Of one source address and worker; the reasons for the figures are in base/limits.h.
struct ShareLimits {
  uint32_t connections = limits::connections_per_source;
  uint32_t sessions = limits::sessions_per_source;
  uint32_t handshakes = limits::handshakes_per_source;  // under way, and a second
  size_t buffered_bytes = limits::source_buffered_max_bytes;
};

enum class ShareLimit : uint8_t { connections, sessions, handshakes, buffered_bytes };
inline constexpr size_t kShareLimits = 4;

struct Share {
  Ip address;
  Budget windows;
  uint32_t connections = 0, sessions = 0, handshakes = 0, lanes = 0;
  double handshakes_left = 0;  // that may begin now; comes back with time
  io::TimePoint counted = {};  // when that was so
};

class Shares {
 public:
  explicit Shares(io::Driver& driver) : driver_(driver) {}

  void configure(const ShareLimits& limits) { limits_ = limits; }  // before anything is held

  Share& of(const Ip& address);
  // One more, held until the permit goes. Error: overloaded, with the limit as its detail.
  Result<Permit> connection(const Ip& address);
  Result<Permit> session(Share& share);
  Result<Permit> handshake(Share& share);
  // A lane of this address, which keeps the entry and its budget; there are limits to what it carries.
  Permit lane(Share& share);
  // Windows of so many bytes; who takes them from the budget is the lane.
  Status room(const Share& share, size_t bytes);

  // Counts and says that a limit has refused this address something.
  Error refuse(ShareLimit limit, const Ip& address);
  const std::array<uint64_t, kShareLimits>& refused() const { return refused_; }

  void sweep();  // forgets who holds nothing; call a few times a second
  size_t size() const { return shares_.size(); }

 private:
  void count_handshakes_left(Share& share);
  uint64_t limit_of(ShareLimit limit) const;

  io::Driver& driver_;
  ShareLimits limits_;
  std::unordered_map<Ip, std::unique_ptr<Share>> shares_;
  std::array<uint64_t, kShareLimits> refused_{};
  std::array<Seldom, kShareLimits> said_;
};

}  // namespace weir::net

#pragma once
// The lanes that this worker has dialled, keyed by who dials whom: source pod and identity, destination address and
// expected identity, certificate generation and trust bundle. A session goes to a lane that has room and is not
// moving bulk; else to a new one, up to a limit. Dialling, handshake and service are one coroutine per lane, in the
// lane's own scope; sessions may be opened before the handshake is done and share its fate if it fails.
// Idle lanes go after limits::lane_idle. A new one resumes the TLS session of an earlier one where there is a ticket.
// Thread: one worker. Lifetime: the worker's; empty() before it goes.
#include <list>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "nodeproxy/mesh/session_stream.h"
#include "nodeproxy/net/connect.h"
#include "nodeproxy/net/shares.h"
#include "nodeproxy/upstream/lane_key.h"
#include "nodeproxy/upstream/ticket_cache.h"

namespace weir::upstream {

// What the pool tells its worker's counters, without knowing them.
class LanePoolEvents {
 public:
  virtual void on_handshake(const Status& outcome, bool resumed) = 0;
  virtual void on_lane_opened() = 0;
  virtual void on_lane_closed(Reason why) = 0;
  virtual void on_session_opened() = 0;

 protected:
  ~LanePoolEvents() = default;
};

class LanePool {
 public:
  LanePool(io::Driver& driver, LanePoolEvents& events, net::PortRanges& ports, net::Shares& shares,
           tls::VerifiedChains& chains);
  ~LanePool();

  // Sessions on one lane; 0: limits::sessions_per_lane; 1: a lane for each session (to compare, to isolate), of which
  // there may be any number. Else so many lanes of one key at the most; above it sessions fail, reason `overloaded`.
  void configure(uint32_t sessions_per_lane, uint32_t lanes_per_destination = limits::lanes_per_destination);
  // A session from `client` over a lane of this key, dialled if there is none. `session` gets opened() or failed()
  // with the reason: the dial's, the handshake's, the peer's; or a limit's of the source, which is `overloaded`.
  Status open(const LaneKey& key, std::shared_ptr<const tls::Context> certificate, int netns_fd,
              const SocketAddress& client, mesh::SessionStream& session);

  void drop_source(const std::string& uid, Reason reason);
  bool has_source(const std::string& uid) const;
  // A Context that is not in use any more: nothing is resumed with what it was given.
  void drop_tickets(uint64_t generation) { tickets_.drop_generation(generation); }
  // The bundle is another now: lanes whose peers it does not trust end. Judges `most` at the most; how many it did.
  size_t judge_peers(const tls::Bundle& bundle, size_t most);
  // Closes idle lanes, those that have just become so too if descriptors are short; call a few times a second.
  void sweep(bool short_of_descriptors = false);
  void drain();
  void close_all(Reason reason);
  bool empty() const { return lanes_.empty(); }
  // Those whose handshake is done, and their sessions.
  size_t lanes() const;
  size_t sessions() const;
  size_t tickets() const { return tickets_.tickets(); }

 private:
  class Dialled;
  Dialled* with_room(const LaneKey& key, const tls::Context& certificate);
  Result<Dialled*> dial(const LaneKey& key, std::shared_ptr<const tls::Context> certificate, int netns_fd);
  io::Task<void> serve(Dialled& lane, int netns_fd);
  void ended(Dialled& lane);

  io::Driver& driver_;
  LanePoolEvents& events_;
  net::PortRanges& ports_;
  net::Shares& shares_;
  tls::VerifiedChains& chains_;
  TicketCache tickets_;
  uint32_t sessions_per_lane_ = limits::sessions_per_lane;
  uint32_t lanes_per_destination_ = limits::lanes_per_destination;
  std::unordered_map<LaneKey, std::vector<Dialled*>, LaneKeyHash> by_key_;
  std::list<std::unique_ptr<Dialled>> lanes_;
  bool draining_ = false;
};

}  // namespace weir::upstream

#pragma once
// The tickets that this worker's diallers may resume TLS sessions with. A ticket is found by exactly what its lane was
// dialled for, and by the Context that dialled it: source pod and address, destination address and expected identity;
// own identity, certificate and trust bundle (tls::Context::generation). It is handed out once (RFC 8446 C.4), and
// forgotten with its time, its pod and its Context.
// Owner: a LanePool. Thread: its worker. Bounded: the peer that has not given one for longest goes.
#include <cstdint>
#include <list>
#include <string>
#include <unordered_map>
#include <vector>

#include "nodeproxy/tls/session.h"
#include "nodeproxy/upstream/lane_key.h"

namespace weir::upstream {

class TicketCache {
 public:
  explicit TicketCache(size_t peers_max = limits::ticket_peers) : peers_max_(peers_max) {}

  void put(const LaneKey& key, tls::Ticket ticket);
  // The newest; none: an empty one.
  tls::Ticket take(const LaneKey& key, uint64_t generation, tls::WallTime now);

  void drop_source(const std::string& uid);
  void drop_generation(uint64_t generation);
  void drop_expired(tls::WallTime now);
  size_t peers() const { return peers_.size(); }
  size_t tickets() const;

 private:
  struct Peer {
    LaneKey key;
    uint64_t generation = 0;
    std::vector<tls::Ticket> tickets;  // never empty; the newest last
  };
  using Place = std::list<Peer>::iterator;
  Place drop(Place peer);

  size_t peers_max_;
  std::list<Peer> peers_;  // who gave one last first
  std::unordered_map<LaneKey, Place, LaneKeyHash> by_key_;
};

}  // namespace weir::upstream

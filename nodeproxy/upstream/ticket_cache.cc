// See ticket_cache.h.
#include "nodeproxy/upstream/ticket_cache.h"

#include <utility>

namespace weir::upstream {

TicketCache::Place TicketCache::drop(Place peer) {
  by_key_.erase(peer->key);
  return peers_.erase(peer);
}

void TicketCache::put(const LaneKey& key, tls::Ticket ticket) {
  const uint64_t generation = ticket.generation;
  if (const auto found = by_key_.find(key); found != by_key_.end()) {
    if (generation < found->second->generation) return;  // of a lane that outlived its certificate
    if (generation == found->second->generation) {
      std::vector<tls::Ticket>& tickets = found->second->tickets;
      if (tickets.size() >= limits::tickets_per_peer) tickets.erase(tickets.begin());
      tickets.push_back(std::move(ticket));
      peers_.splice(peers_.begin(), peers_, found->second);
      return;
    }
    drop(found->second);
  }
  if (peers_.size() >= peers_max_) drop(std::prev(peers_.end()));
  peers_.push_front({key, generation, {}});
  peers_.front().tickets.push_back(std::move(ticket));
  by_key_.emplace(key, peers_.begin());
}

tls::Ticket TicketCache::take(const LaneKey& key, uint64_t generation, tls::WallTime now) {
  const auto found = by_key_.find(key);
  if (found == by_key_.end() || found->second->generation != generation) return {};
  const Place peer = found->second;
  tls::Ticket newest = std::move(peer->tickets.back());
  peer->tickets.pop_back();
  if (peer->tickets.empty()) drop(peer);
  if (now >= newest.until) return {};
  return newest;
}

void TicketCache::drop_source(const std::string& uid) {
  for (Place peer = peers_.begin(); peer != peers_.end();)
    peer = peer->key.source_uid == uid ? drop(peer) : std::next(peer);
}

void TicketCache::drop_generation(uint64_t generation) {
  for (Place peer = peers_.begin(); peer != peers_.end();)
    peer = peer->generation == generation ? drop(peer) : std::next(peer);
}

void TicketCache::drop_expired(tls::WallTime now) {
  for (Place peer = peers_.begin(); peer != peers_.end();) {
    std::erase_if(peer->tickets, [&](const tls::Ticket& ticket) { return now >= ticket.until; });
    peer = peer->tickets.empty() ? drop(peer) : std::next(peer);
  }
}

size_t TicketCache::tickets() const {
  size_t tickets = 0;
  for (const Peer& peer : peers_) tickets += peer.tickets.size();
  return tickets;
}

}  // namespace weir::upstream

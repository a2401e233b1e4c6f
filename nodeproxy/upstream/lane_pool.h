#pragma once
// The lanes that this worker has dialled, keyed by who dials whom: source pod and identity, destination address and
// expected identity, certificate generation and trust bundle. A session goes to a lane that has room and is not
// moving bulk; else to a new one, up to a limit. Dialling, handshake and service are one coroutine per lane, in the
// lane's own scope; sessions may be opened before the handshake is done and share its fate if it fails.
// Idle lanes go after limits::lane_idle.
// Thread: one worker. Lifetime: the worker's; empty() before it goes.
#include <list>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "nodeproxy/mesh/session_stream.h"
#include "nodeproxy/net/connect.h"

namespace weir::upstream {

struct LaneKey {
  std::string source_uid;
  Ip source;  // the pod's address that the lane comes from
  SocketAddress to;
  std::string identity;  // expected of the peer
  // The pod that it leads to (empty: none that the mesh knows). Its successor at the same address, perhaps of the same
  // identity, is another: this lane may have lost its other end without a word.
  std::string destination_uid;

  bool operator==(const LaneKey&) const = default;
};

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
  LanePool(io::Driver& driver, LanePoolEvents& events, net::PortRanges& ports);
  ~LanePool();

  // Sessions on one lane; 0: limits::sessions_per_lane; 1: a lane for each session (to compare, to isolate), of which
  // there may be any number. Else so many lanes of one key at the most; above it sessions fail, reason `overloaded`.
  void configure(uint32_t sessions_per_lane, uint32_t lanes_per_destination = limits::lanes_per_destination);
  // A session from `client` over a lane of this key, dialled if there is none. `session` gets opened() or failed()
  // with the reason: the dial's, the handshake's, the peer's.
  Status open(const LaneKey& key, std::shared_ptr<const tls::Context> certificate, int netns_fd,
              const SocketAddress& client, mesh::SessionStream& session);

  void drop_source(const std::string& uid, Reason reason);
  bool has_source(const std::string& uid) const;
  void sweep();  // closes idle lanes; call a few times a second
  void drain();
  void close_all(Reason reason);
  bool empty() const { return lanes_.empty(); }
  // Those whose handshake is done, and their sessions.
  size_t lanes() const;
  size_t sessions() const;

 private:
  class Dialled;
  struct Hash {
    size_t operator()(const LaneKey& key) const;
  };
  Dialled* with_room(const LaneKey& key, const tls::Context& certificate);
  Result<Dialled*> dial(const LaneKey& key, std::shared_ptr<const tls::Context> certificate, int netns_fd);
  io::Task<void> serve(Dialled& lane, int netns_fd);
  void ended(Dialled& lane);

  io::Driver& driver_;
  LanePoolEvents& events_;
  net::PortRanges& ports_;
  uint32_t sessions_per_lane_ = limits::sessions_per_lane;
  uint32_t lanes_per_destination_ = limits::lanes_per_destination;
  std::unordered_map<LaneKey, std::vector<Dialled*>, Hash> by_key_;
  std::list<std::unique_ptr<Dialled>> lanes_;
  bool draining_ = false;
};

}  // namespace weir::upstream

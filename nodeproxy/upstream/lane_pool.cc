// Choosing, dialling and ending lanes. See lane_pool.h.
#include "nodeproxy/upstream/lane_pool.h"

#include <algorithm>

#include "nodeproxy/io/sleep.h"

namespace weir::upstream {

// A lane of the pool: the scope of its coroutine, its carrier, and where its tickets go.
class LanePool::Dialled final : public io::Scope, public tls::TicketEvents {
 public:
  Dialled(LanePool& pool, LaneKey lane_key, net::Share& source, const tls::Context& certificate)
      : io::Scope(pool.driver_),
        pool(pool),
        key(std::move(lane_key)),
        source(source),
        counted(pool.shares_.lane(source)),
        generation(certificate.generation()) {}

  LanePool& pool;
  LaneKey key;
  net::Share& source;
  Permit counted;  // outlives the carrier, whose windows are the source's
  std::unique_ptr<mesh::Carrier> carrier;
  uint64_t generation;  // of certificate and trust bundle
  std::list<std::unique_ptr<Dialled>>::iterator place;

  // Of a lane that is being ended, whose pod may be gone, nothing is kept.
  void on_ticket(tls::Ticket ticket) override {
    if (!carrier->ended()) pool.tickets_.put(key, std::move(ticket));
  }
  bool open() const { return carrier->established() && !carrier->ended(); }
  void end(const Error& why) {
    carrier->close(why);
    cancel();
  }

 private:
  void on_empty() override { pool.ended(*this); }
};

LanePool::LanePool(io::Driver& driver, LanePoolEvents& events, net::PortRanges& ports, net::Shares& shares,
                   tls::VerifiedChains& chains)
    : driver_(driver), events_(events), ports_(ports), shares_(shares), chains_(chains) {}

LanePool::~LanePool() = default;

void LanePool::configure(uint32_t sessions_per_lane, uint32_t lanes_per_destination) {
  sessions_per_lane_ = sessions_per_lane == 0 ? limits::sessions_per_lane : sessions_per_lane;
  lanes_per_destination_ = lanes_per_destination;
}

// The lane of the key with the fewest sessions that may take one more.
LanePool::Dialled* LanePool::with_room(const LaneKey& key, const tls::Context& certificate) {
  const auto found = by_key_.find(key);
  if (found == by_key_.end()) return nullptr;
  Dialled* best = nullptr;
  bool best_bulky = false;
  for (Dialled* lane : found->second) {
    if (lane->generation != certificate.generation()) continue;
    const mesh::Carrier& carrier = *lane->carrier;
    if (carrier.ended() || !carrier.lane().can_open() || carrier.lane().sessions() >= sessions_per_lane_)
      continue;
    const bool better =
        !best || (best_bulky && !carrier.bulky()) ||
        (best_bulky == carrier.bulky() && carrier.lane().sessions() < best->carrier->lane().sessions());
    if (!better) continue;
    best = lane;
    best_bulky = carrier.bulky();
  }
  // A lane that moves bulk gets no new sessions while another may be dialled.
  const bool may_dial = sessions_per_lane_ == 1 || found->second.size() < lanes_per_destination_;
  return best_bulky && may_dial ? nullptr : best;
}

Result<LanePool::Dialled*> LanePool::dial(const LaneKey& key, std::shared_ptr<const tls::Context> certificate,
                                          int netns_fd) {
  const auto found = by_key_.find(key);
  if (sessions_per_lane_ > 1 && found != by_key_.end()) {
    // Lanes to a proxy that was replaced live as long as their sessions, and take no new ones.
    const auto taking = std::ranges::count_if(
        found->second, [](const Dialled* lane) { return !lane->carrier->lane().goaway_received(); });
    if (static_cast<size_t>(taking) >= lanes_per_destination_)
      return fail(Source::upstream, Reason::overloaded);
  }
  const auto expected = tls::SpiffeId::parse(key.identity);
  if (!expected) return std::unexpected(expected.error());
  net::Share& source = shares_.of(key.source);
  auto dialled = std::make_unique<Dialled>(*this, key, source, *certificate);
  tls::Ticket ticket = tickets_.take(key, certificate->generation(), chains_.now());
  auto carrier = mesh::Carrier::dialler(
      driver_, std::move(certificate), *expected,
      {.settings = {.sessions_max = sessions_per_lane_}, .peer_budget = &source.windows}, chains_,
      {.offered = std::move(ticket), .events = dialled.get()});
  if (!carrier) return std::unexpected(carrier.error());
  dialled->carrier = std::move(*carrier);
  lanes_.push_front(std::move(dialled));
  Dialled* lane = lanes_.front().get();
  lane->place = lanes_.begin();
  by_key_[key].push_back(lane);
  lane->spawn(serve(*lane, netns_fd));
  return lane;
}

Status LanePool::open(const LaneKey& key, std::shared_ptr<const tls::Context> certificate, int netns_fd,
                      const SocketAddress& client, mesh::SessionStream& session) {
  if (draining_) return fail(Source::local, Reason::draining);
  if (const Status room = shares_.room(shares_.of(key.source), limits::session_window_initial_bytes); !room)
    return room;
  Dialled* lane = with_room(key, *certificate);
  if (!lane) {
    auto dialled = dial(key, std::move(certificate), netns_fd);
    if (!dialled) return std::unexpected(dialled.error());
    lane = *dialled;
  }
  const Status opened =
      session.open(*lane->carrier, {.client = client, .workload_uid = key.source_uid, .service = {}});
  if (opened) events_.on_session_opened();
  return opened;
}

io::Task<void> LanePool::serve(Dialled& lane, int netns_fd) {
  mesh::Carrier& carrier = *lane.carrier;
  co_await io::Yield{driver_};  // dial() still holds the lane, which a failure here would end
  auto socket =
      co_await net::connect(driver_, net::to_proxy(netns_fd, lane.key.source, lane.key.to, ports_.lane));
  if (!socket) {
    co_await carrier.give_up(socket.error());
    co_return;
  }
  auto allowed = shares_.handshake(lane.source);
  if (!allowed) {
    co_await carrier.give_up(allowed.error());
    co_return;
  }
  carrier.connected(std::move(*socket));
  const Status shaken = co_await carrier.handshake({});
  allowed->release();
  events_.on_handshake(shaken, shaken && carrier.resumed());
  if (!shaken) {
    co_await carrier.give_up(shaken.error());
    co_return;
  }
  events_.on_lane_opened();
  if (draining_) carrier.drain();
  co_await carrier.run();
  events_.on_lane_closed(carrier.ended()->reason);  // run() has ended it
}

void LanePool::ended(Dialled& lane) {
  const auto found = by_key_.find(lane.key);
  if (found != by_key_.end()) {
    std::erase(found->second, &lane);
    if (found->second.empty()) by_key_.erase(found);
  }
  lanes_.erase(lane.place);  // destroys it: the last thing done
}

void LanePool::drop_source(const std::string& uid, Reason reason) {
  tickets_.drop_source(uid);
  for (auto lane = lanes_.begin(); lane != lanes_.end();) {
    Dialled& dialled = **lane++;
    if (dialled.key.source_uid == uid) dialled.end(Error{Source::agent, reason, 0, {}});
  }
}

bool LanePool::has_source(const std::string& uid) const {
  return std::any_of(lanes_.begin(), lanes_.end(),
                     [&](const auto& lane) { return lane->key.source_uid == uid; });
}

size_t LanePool::judge_peers(const tls::Bundle& bundle, size_t most) {
  size_t judged = 0;
  for (auto lane = lanes_.begin(); lane != lanes_.end() && judged < most;) {
    Dialled& dialled = **lane++;
    if (dialled.carrier->judge_peer(bundle)) ++judged;
  }
  return judged;
}

void LanePool::sweep(bool short_of_descriptors) {
  tickets_.drop_expired(chains_.now());
  const io::TimePoint old =
      driver_.now() - (short_of_descriptors ? std::chrono::seconds(0) : limits::lane_idle);
  for (auto lane = lanes_.begin(); lane != lanes_.end();) {
    Dialled& dialled = **lane++;
    const mesh::Carrier& carrier = *dialled.carrier;
    if (carrier.established() && carrier.lane().sessions() == 0 && carrier.idle_since() < old) {
      dialled.end(Error{Source::local, Reason::none, 0, {}});
    }
  }
}

void LanePool::drain() {
  draining_ = true;
  for (const auto& lane : lanes_) {
    if (lane->carrier->established()) lane->carrier->drain();
  }
}

void LanePool::close_all(Reason reason) {
  for (auto lane = lanes_.begin(); lane != lanes_.end();) {
    Dialled& dialled = **lane++;
    dialled.end(Error{Source::local, reason, 0, {}});
  }
}

size_t LanePool::lanes() const { return static_cast<size_t>(std::ranges::count_if(lanes_, &Dialled::open)); }

size_t LanePool::sessions() const {
  size_t sessions = 0;
  for (const auto& lane : lanes_) sessions += lane->open() ? lane->carrier->lane().sessions() : 0;
  return sessions;
}

}  // namespace weir::upstream

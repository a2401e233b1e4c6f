// The pipes, the clock and the answers to SYNs. See sim_network.h.
#include "nodeproxy/io/sim_network.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <iterator>
#include <utility>

namespace weir::io {

using namespace std::chrono_literals;

namespace {
constexpr auto kSynRetry = 1s;
constexpr auto kNeighbourTimeout = 3s;  // no answer to ARP/ND
constexpr auto kSynTimeout = 127s;      // net.ipv4.tcp_syn_retries 6
}  // namespace

// splitmix64 (Steele, Lea, Flood 2014).
uint64_t SimRandom::next() {
  uint64_t z = (state_ += 0x9E3779B97F4A7C15ULL);
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
  return z ^ (z >> 31);
}

// --- Clock --------------------------------------------------------------------------------------------------------

void SimNetwork::at(Clock::duration delay, std::function<void()> event) {
  events_.emplace(std::pair(now_ + delay, sequence_++), std::move(event));
}

void SimNetwork::run_next_event() {
  auto node = events_.extract(events_.begin());
  now_ = std::max(now_, node.key().first);
  ++steps_;
  node.mapped()();
}

Clock::duration SimNetwork::one_way() {
  return std::chrono::microseconds(random.between(static_cast<uint64_t>(options_.delay_min.count()),
                                                  static_cast<uint64_t>(options_.delay_max.count())));
}

// --- Connecting ---------------------------------------------------------------------------------------------------

void SimNetwork::remove_listener(SimListener& listener) {
  listener.open = false;
  std::erase(listeners_, &listener);
  for (auto& [ip, group] : captured_) std::erase(group, &listener);
  while (!listener.queue.empty()) {
    const SimEnd end = listener.queue.front();
    listener.queue.pop_front();
    close(end, true);
  }
}

SimListener* SimNetwork::who_listens(const Dial& dial) {
  if (dial.through) return dial.through->open ? dial.through : nullptr;
  std::vector<SimListener*> found;
  if (const auto group = captured_.find(dial.to.ip); group != captured_.end()) {
    std::copy_if(group->second.begin(), group->second.end(), std::back_inserter(found),
                 [&](const SimListener* one) { return one->node != dial.node; });
  }
  if (found.empty()) {
    std::copy_if(listeners_.begin(), listeners_.end(), std::back_inserter(found),
                 [&](const SimListener* one) { return one->address == dial.to; });
  }
  return found.empty() ? nullptr : found[random.below(found.size())];
}

void SimNetwork::dial(const Dial& dial, const Dialled& done) {
  if (unreachable_.contains(dial.to.ip)) return at(kNeighbourTimeout, [done] { done(EHOSTUNREACH, {}); });
  if (silent_.contains(dial.to.ip)) return at(kSynTimeout, [done] { done(ETIMEDOUT, {}); });
  at(one_way(), [this, dial, done] { answer(dial, done); });
}

void SimNetwork::answer(const Dial& dial, const Dialled& done) {
  SimListener* listener = who_listens(dial);
  if (!listener) return at(one_way(), [done] { done(ECONNREFUSED, {}); });
  if (listener->queue.size() >= listener->backlog)
    return at(kSynRetry, [this, dial, done] { answer(dial, done); });
  const uint64_t id = ++next_connection_;
  auto connection = std::make_unique<Connection>();
  connection->sides[0].local = dial.from;
  connection->sides[1].local = dial.to;
  for (size_t& room : connection->room_bytes)
    room = random.between(options_.pipe_bytes_min, options_.pipe_bytes_max);
  connections_.emplace(id, std::move(connection));
  listener->queue.push_back({id, 1});
  if (listener->observer) listener->observer->on_network();
  at(one_way(), [done, id] { done(0, {id, 0}); });
}

// --- Data ---------------------------------------------------------------------------------------------------------

SimNetwork::Connection* SimNetwork::find(SimEnd end) {
  const auto found = connections_.find(end.connection);
  return found == connections_.end() ? nullptr : found->second.get();
}

const SimNetwork::Connection* SimNetwork::find(SimEnd end) const {
  return const_cast<SimNetwork*>(this)->find(end);
}

int64_t SimNetwork::receive(SimEnd end, std::byte* into, size_t bytes_max) {
  Side& side = find(end)->sides[end.side];
  if (const size_t bytes = std::min(side.unread_bytes(), bytes_max); bytes != 0) {
    std::memcpy(into, side.unread.data() + side.read_from, bytes);
    side.read_from += bytes;
    if (side.read_from == side.unread.size()) {
      side.unread.clear();
      side.read_from = 0;
    }
    touch({end.connection, 1 - end.side});  // room
    return static_cast<int64_t>(bytes);
  }
  if (side.error != 0) return -std::exchange(side.error, 0);
  if (side.dead || side.fin_arrived) return 0;
  return -EAGAIN;
}

int64_t SimNetwork::send(SimEnd end, const std::byte* from, size_t bytes) {
  Connection& connection = *find(end);
  Side& side = connection.sides[end.side];
  if (side.error != 0) return -std::exchange(side.error, 0);
  if (side.dead || side.fin_sent) return -EPIPE;
  const size_t used = side.wire_bytes + connection.sides[1 - end.side].unread_bytes();
  const size_t room = connection.room_bytes[end.side];
  if (bytes == 0) return 0;
  if (used >= room) return -EAGAIN;
  const size_t taken = std::min(bytes, room - used);
  put_on_wire(end, {Segment::data, std::string(reinterpret_cast<const char*>(from), taken)});
  return static_cast<int64_t>(taken);
}

bool SimNetwork::readable(SimEnd end) const {
  const Side& side = find(end)->sides[end.side];
  return side.unread_bytes() != 0 || side.error != 0 || side.dead || side.fin_arrived;
}

// Keeps the order of what one side sent: nothing arrives before what was sent earlier.
void SimNetwork::put_on_wire(SimEnd end, Segment segment) {
  Side& side = find(end)->sides[end.side];
  side.wire_bytes += segment.bytes.size();
  side.wire.push_back(std::move(segment));
  side.last_arrival = std::max(side.last_arrival, now_ + one_way());
  at(side.last_arrival - now_, [this, end] { arrive(end); });
}

void SimNetwork::arrive(SimEnd from) {
  Connection* connection = find(from);
  if (!connection) return;
  Side& sender = connection->sides[from.side];
  Side& receiver = connection->sides[1 - from.side];
  if (sender.wire.empty()) return;  // a reset overtook it
  Segment segment = std::move(sender.wire.front());
  sender.wire.pop_front();
  sender.wire_bytes -= segment.bytes.size();
  const SimEnd to{from.connection, 1 - from.side};
  if (!receiver.open || receiver.dead) {
    if (segment.kind == Segment::data && !receiver.dead) send_reset(to);
  } else if (segment.kind == Segment::data) {
    receiver.unread += segment.bytes;
    touch(to);
  } else if (segment.kind == Segment::fin) {
    receiver.fin_arrived = true;
    touch(to);
  } else {
    receiver.dead = true;
    receiver.error = receiver.fin_arrived ? EPIPE : ECONNRESET;
    receiver.wire.clear();
    receiver.wire_bytes = 0;
    touch(to);
  }
  drop_if_over(from);
}

// --- Ending -------------------------------------------------------------------------------------------------------

void SimNetwork::shutdown_write(SimEnd end) {
  Side& side = find(end)->sides[end.side];
  if (side.fin_sent || side.dead) return;
  side.fin_sent = true;
  put_on_wire(end, {Segment::fin, {}});
}

// A RST follows what the wire already has, and drops a random tail of it (what was still in the send queue).
void SimNetwork::send_reset(SimEnd end) {
  Side& side = find(end)->sides[end.side];
  if (side.dead) return;
  side.dead = true;
  const size_t keep = side.wire.empty() ? 0 : random.between(0, side.wire.size());
  while (side.wire.size() > keep) {
    side.wire_bytes -= side.wire.back().bytes.size();
    side.wire.pop_back();
  }
  put_on_wire(end, {Segment::reset, {}});
}

void SimNetwork::close(SimEnd end, bool reset) {
  Connection* connection = find(end);
  if (!connection) return;
  Side& side = connection->sides[end.side];
  side.open = false;
  side.observer = nullptr;
  if (!side.dead) {
    if (reset || side.unread_bytes() != 0) {
      send_reset(end);
    } else {
      shutdown_write(end);
    }
  }
  side.unread.clear();
  side.read_from = 0;
  drop_if_over(end);
}

void SimNetwork::break_connection(SimEnd end, int error_here, int error_there) {
  Connection* connection = find(end);
  if (!connection) return;
  for (int i = 0; i < 2; ++i) {
    Side& side = connection->sides[i];
    const int error = i == end.side ? error_here : error_there;
    if (error == 0 || side.dead) continue;
    side.dead = true;
    side.error = error;
    side.wire.clear();
    side.wire_bytes = 0;
    touch({end.connection, i});
  }
}

void SimNetwork::drop_if_over(SimEnd end) {
  const Connection* connection = find(end);
  if (!connection) return;
  for (const Side& side : connection->sides) {
    if (side.open || !side.wire.empty()) return;
  }
  connections_.erase(end.connection);
}

void SimNetwork::observe(SimEnd end, SimObserver* observer) {
  if (Connection* connection = find(end)) connection->sides[end.side].observer = observer;
}

void SimNetwork::touch(SimEnd end) {
  SimObserver* observer = find(end)->sides[end.side].observer;
  if (observer) observer->on_network();
}

SocketAddress SimNetwork::local(SimEnd end) const {
  const Connection* connection = find(end);
  return connection ? connection->sides[end.side].local : SocketAddress{};
}

size_t SimNetwork::open_ends() const {
  size_t open = 0;
  for (const auto& [id, connection] : connections_) {
    open += static_cast<size_t>(connection->sides[0].open) + static_cast<size_t>(connection->sides[1].open);
  }
  return open;
}

}  // namespace weir::io

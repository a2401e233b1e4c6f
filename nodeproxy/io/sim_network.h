#pragma once
// The simulated network below the sim driver and the scripted applications: a virtual clock, events in its order, and
// TCP connections as two pipes with delay, bounded room, FIN and RST. It knows no descriptor and no Op.
// As Linux does: unread data stays readable after a RST arrived; a socket's error is reported once, afterwards it
// reads as FIN and writes as EPIPE; closing with unread data, or receiving data after close, sends a RST.
// Everything random comes from one seed, so a run can be repeated.
// Thread: one. Lifetime: a test case.
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "nodeproxy/base/ip.h"
#include "nodeproxy/io/timers.h"

namespace weir::io {

class SimRandom {
 public:
  explicit SimRandom(uint64_t seed) : state_(seed) {}
  uint64_t next();
  uint64_t below(uint64_t bound) { return next() % bound; }  // bound > 0
  uint64_t between(uint64_t low, uint64_t high) { return low + below(high - low + 1); }
  bool chance(uint32_t per_million) { return per_million != 0 && below(1'000'000) < per_million; }

 private:
  uint64_t state_;
};

// Told whenever something changed at its end: bytes, room, FIN, RST.
class SimObserver {
 public:
  virtual void on_network() = 0;

 protected:
  ~SimObserver() = default;
};

// One side of a connection, as its owner names it.
struct SimEnd {
  uint64_t connection = 0;  // 0: none
  int side = 0;
};

struct SimListener {
  SocketAddress address;
  int node = 0;
  size_t backlog = 128;
  bool open = true;
  std::deque<SimEnd> queue;
  SimObserver* observer = nullptr;
};

class SimNetwork {
 public:
  struct Options {
    std::chrono::microseconds delay_min{5}, delay_max{2'000};  // one way
    size_t pipe_bytes_min = 1, pipe_bytes_max = 64 * 1024;     // room of one direction, drawn per connection
  };

  SimNetwork(uint64_t seed, const Options& options) : random(seed), options_(options) {}

  SimRandom random;
  // A short while, for what takes no time but happens in no fixed order.
  Clock::duration moment() { return std::chrono::microseconds(random.below(50)); }

  // The clock and its events.
  TimePoint now() const { return now_; }
  void at(Clock::duration delay, std::function<void()> event);
  TimePoint next_event() const { return events_.empty() ? kNever : events_.begin()->first.first; }
  void run_next_event();
  void advance_to(TimePoint time) { now_ = std::max(now_, time); }
  uint64_t steps() const { return steps_; }

  // Where connects arrive. `capture`: connects to that address (any port) from other nodes meet one of these listeners.
  void add_listener(SimListener& listener) { listeners_.push_back(&listener); }
  void remove_listener(SimListener& listener);
  void capture(const Ip& ip, SimListener& listener) { captured_[ip].push_back(&listener); }
  void release(const Ip& ip) { captured_.erase(ip); }
  void make_unreachable(const Ip& ip) { unreachable_.insert(ip); }
  void make_silent(const Ip& ip) { silent_.insert(ip); }  // SYNs vanish

  struct Dial {
    SocketAddress from, to;
    int node = 0;
    SimListener* through = nullptr;  // meet this listener whatever `to` says
  };
  using Dialled = std::function<void(int error, SimEnd end)>;
  // Calls `done` when answered; if its owner is gone by then it closes the end. Error: positive errno.
  void dial(const Dial& dial, const Dialled& done);

  // Both as recv(2) and send(2) of a non-blocking socket: −EAGAIN when there is nothing or no room.
  int64_t receive(SimEnd end, std::byte* into, size_t bytes_max);
  int64_t send(SimEnd end, const std::byte* from, size_t bytes);
  bool readable(SimEnd end) const;
  bool broken(SimEnd end) const { return find(end)->sides[end.side].dead; }
  bool undelivered(SimEnd end) const { return !broken(end) && !find(end)->sides[end.side].wire.empty(); }
  void shutdown_write(SimEnd end);
  void close(SimEnd end, bool reset);
  // Both sides find the connection broken with these errors (0: that side hears nothing).
  void break_connection(SimEnd end, int error_here, int error_there);
  void observe(SimEnd end, SimObserver* observer);
  SocketAddress local(SimEnd end) const;
  SocketAddress peer(SimEnd end) const { return local({end.connection, 1 - end.side}); }
  size_t open_ends() const;

 private:
  struct Segment {
    enum Kind { data, fin, reset } kind;
    std::string bytes;
  };
  struct Side {
    SocketAddress local;
    SimObserver* observer = nullptr;
    bool open = true;
    int error = 0;      // reported once
    bool dead = false;  // broken: nothing more arrives or leaves
    bool fin_sent = false;
    bool fin_arrived = false;
    std::string unread;
    size_t read_from = 0;
    std::deque<Segment> wire;  // sent by this side, not arrived
    size_t wire_bytes = 0;
    TimePoint last_arrival;
    size_t unread_bytes() const { return unread.size() - read_from; }
  };
  struct Connection {
    Side sides[2];
    size_t room_bytes[2];  // of what each side sends
  };

  Connection* find(SimEnd end);
  const Connection* find(SimEnd end) const;
  SimListener* who_listens(const Dial& dial);
  void answer(const Dial& dial, const Dialled& done);
  void put_on_wire(SimEnd end, Segment segment);
  void arrive(SimEnd from);
  void send_reset(SimEnd end);
  void touch(SimEnd end);
  void drop_if_over(SimEnd end);
  Clock::duration one_way();

  Options options_;
  TimePoint now_{std::chrono::hours(1)};
  uint64_t sequence_ = 0, steps_ = 0, next_connection_ = 0;
  std::map<std::pair<TimePoint, uint64_t>, std::function<void()>> events_;
  std::unordered_map<uint64_t, std::unique_ptr<Connection>> connections_;
  std::vector<SimListener*> listeners_;
  std::unordered_map<Ip, std::vector<SimListener*>> captured_;
  std::set<Ip> unreachable_, silent_;
};

}  // namespace weir::io

#pragma once
// Moving bytes between two streams, both ways at once, until both have ended: half-close kept (a FIN passes on, the
// other direction lives), RST kept distinct from FIN (an error on one side resets the other), and backpressure by
// construction: each direction holds one buffer and reads the next only when that one has been taken.
// A stream is anything with Read(stream) → Result<Buffer> (empty: FIN), at_fin() (known to be next), Write(stream, Buffer,
// whether finish() follows at once) → Status, finish();
// a template instead of a virtual interface, since this is the innermost loop.
// Thread: one worker. Errors: in Ends, with the side that ended first.
#include <cstdint>
#include <optional>
#include <variant>

#include "nodeproxy/base/limits.h"
#include "nodeproxy/io/scope.h"

namespace weir::relay {

// How the relay ended: the first error, if any, and on which side it came up.
struct Ends {
  Ends(uint64_t& to_server, uint64_t& to_client) : to_server_bytes(to_server), to_client_bytes(to_client) {}

  uint64_t& to_server_bytes;  // the flow's telemetry record counts on while bytes move
  uint64_t& to_client_bytes;
  std::optional<Error> error;  // none: both directions ended with FIN
  int fins = 0;                // directions that have ended in order

  void fail(Source side, Error why);
};

// Ends a connection that is half-closed and silent for limits::half_closed_timeout.
class HalfClosedWatch final : private io::Timer {
 public:
  HalfClosedWatch(io::Scope& scope, Ends& ends) : scope_(scope), ends_(ends) {}
  ~HalfClosedWatch() { scope_.driver().timers().disarm(*this); }
  void begin();

 private:
  void fire() override;
  io::Scope& scope_;
  Ends& ends_;
  uint64_t seen_bytes_ = 0;
};

// A wait that stays where it is: gcc 12 would copy an awaiter that is no temporary into the frame.
template <typename Wait>
struct Borrowed {
  Wait& wait;
  bool await_ready() { return wait.await_ready(); }
  template <typename Promise>
  bool await_suspend(std::coroutine_handle<Promise> waiting) {
    return wait.await_suspend(waiting);
  }
  auto await_resume() { return wait.await_resume(); }
};

// One direction. Ends at FIN (passed on) or at the first error of either stream, which ends the scope.
template <typename From, typename To>
io::Task<void> pump(io::Scope& scope, From& from, To& to, Source from_side, uint64_t& bytes, Ends& ends,
                    HalfClosedWatch& watch) {
  const Source to_side = from_side == Source::downstream ? Source::upstream : Source::downstream;
  // The two waits are never there at once, but gcc gives each its place in the frame, which an idle connection keeps.
  std::variant<std::monostate, typename From::Read, typename To::Write> wait;
  for (;;) {
    Result<io::Buffer> buffer = co_await Borrowed{wait.template emplace<1>(from)};
    if (!buffer) {
      ends.fail(from_side, buffer.error());
      break;
    }
    if (buffer->empty()) {
      to.finish();
      if (++ends.fins == 1) watch.begin();
      co_return;
    }
    bytes += buffer->size();
    const bool last = from.at_fin();  // then one packet can carry both
    const Status written = co_await Borrowed{wait.template emplace<2>(to, std::move(*buffer), last)};
    if (!written) {
      ends.fail(to_side, written.error());
      break;
    }
  }
  scope.cancel();  // the other direction ends too
}

// Both directions; `scope` is the flow's and is cancelled at the first error.
template <typename Client, typename Server>
io::Task<void> run(io::Scope& scope, Client& client, Server& server, Ends& ends) {
  HalfClosedWatch watch(scope, ends);
  co_await io::both(pump(scope, client, server, Source::downstream, ends.to_server_bytes, ends, watch),
                    pump(scope, server, client, Source::upstream, ends.to_client_bytes, ends, watch));
}

}  // namespace weir::relay

#pragma once
// How much a peer may ask for without giving: a leaky bucket of points. Every frame that makes us work and carries
// nothing costs points; the bucket leaks with time, so that an idle connection may be kept alive with PINGs for days, and
// with work that was useful, so that a busy one may cancel, update windows and be cancelled in proportion to it. Time
// alone would end a busy client whose requests time out at the back; work alone would end an idle one in the end.
// Full: the connection ends with ENHANCE_YOUR_CALM, reason `flood`.
//
// Flow-control and keepalive frames are paid first from what was earned by the DATA we sent: a reader that returns
// credit for every 4 KiB it takes, on stream and connection, never costs anything, however late it does so. Resets and
// SETTINGS are not paid that way: one big download would buy a thousand rapid resets.
// Owner: a Connection. Thread: its worker. Time: the caller's.
#include <cstddef>
#include <cstdint>

#include "nodeproxy/io/timers.h"

namespace weir::http::h2 {

enum class Glitch : uint8_t {
  ping,            // and its ACK, unasked
  window_update,   //
  priority,        //
  empty_data,      // DATA without a byte and without END_STREAM
  unknown_frame,   //
  informational,   // a 1xx answer
  settings,        // each may change every stream's window
  goaway,          //
  reset,           // RST_STREAM of a stream that was answered, or is gone
  rapid_reset,     // RST_STREAM before we answered anything
  provoked_reset,  // a stream error: we had to reset
  refused_stream,  // opened above the limit
  continuation,    // more CONTINUATION frames than any head needs: at once
  unread_replies,  // the peer does not read our answers to its control frames: at once
};

class Glitches {
 public:
  void advance(io::TimePoint now);
  // Whether the bucket is full now: end the connection.
  [[nodiscard]] bool add(Glitch glitch);
  void data_sent(size_t bytes);  // one DATA frame
  void stream_served();          // request and answer whole

  static const char* rule(Glitch glitch);  // for the log

 private:
  io::TimePoint leaked_at_{};  // the epoch: not yet set
  uint32_t points_ = 0;
  uint32_t earned_ = 0;
};

}  // namespace weir::http::h2

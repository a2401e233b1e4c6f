#pragma once
// A byte stream both ways, whatever carries it: a socket or a session of a lane. What HTTP is spoken over; opaque relays
// use the streams themselves (relay/), without this call in between.
// One read and one write may be waited for at a time; both end when the waiting coroutine's scope is cancelled.
// Thread: one worker. Lifetime: outlives every wait on it.
#include "nodeproxy/base/error.h"
#include "nodeproxy/io/buffer.h"
#include "nodeproxy/io/task.h"
#include "nodeproxy/io/timers.h"

namespace weir::io {

class ByteStream {
 public:
  virtual ~ByteStream() = default;
  // An empty buffer is the peer's FIN.
  virtual Task<Result<Buffer>> read() = 0;
  // Returns when the stream can take more; detect_timeout at the deadline, after which only abandon() makes sense.
  virtual Task<Status> write(Buffer buffer, TimePoint deadline) = 0;
  virtual void finish() = 0;  // FIN behind what was written
  // The same as write() and finish(), in one packet where the kernel can: a client that is told to close learns at once
  // that we have, so it is our side that keeps the connection in TIME_WAIT, and not its own ports.
  virtual Task<Status> write_last(Buffer buffer, TimePoint deadline) {
    const Status written = co_await write(std::move(buffer), deadline);
    if (written) finish();
    co_return written;
  }
  // Ends it early: the peer sees a reset. Waits in progress are for their scope to cancel.
  virtual void abandon(Reason reason) = 0;
  // Ends it in order once both directions are done: what was written still goes out.
  virtual void close() = 0;
  // Whether some of what was written may not be at the other end yet, where nothing but the end of the stream says that it
  // is: whoever ends it early now takes those bytes away.
  virtual bool undelivered() const { return false; }
  // Whether it has failed in a way that nothing of what was written can have reached the other end.
  virtual bool unprocessed() const { return false; }
  // Whether the other end's proxy is leaving: what is under way goes on, and nothing new should begin.
  virtual bool leaving() const { return false; }
  // Waits until the other end has accepted the stream. Errors: why it did not; detect_timeout at the deadline.
  virtual Task<Status> accepted(TimePoint) { co_return Status(); }
};

}  // namespace weir::io

#pragma once
// One HTTP exchange as whoever relays it sees it, whichever version carries it: pieces of one message to read, pieces of
// the other to write. The four kinds (HTTP/1.1 and HTTP/2, as server and as client) stand behind this, so an exchange is
// written once for all of them.
//   server side: read() gives the request, write() takes the response;  client side: the other way round.
// Reading is bounded by the stream's window or one buffer; a write returns when the next may follow, so a slow reader
// stalls its writer and nobody else.
// Thread: one worker. Lifetime: one exchange; outlives every wait on it.
#include "nodeproxy/base/error.h"
#include "nodeproxy/http/message.h"
#include "nodeproxy/io/task.h"
#include "nodeproxy/io/timers.h"

namespace weir::http {

// Told, outside of any wait, that the peer has gone or has given the exchange up.
class Aborted {
 public:
  virtual void on_aborted(const Error& why) = 0;

 protected:
  ~Aborted() = default;
};

class MessageStream {
 public:
  virtual ~MessageStream() = default;

  // Client side: waits until the other end has accepted the connection, before a body is begun that cannot be repeated.
  virtual io::Task<Status> accepted(io::TimePoint) { co_return Status(); }
  // The next piece: as much as is there, at least something. Heads of informational responses come as pieces of their
  // own. Errors: what ended the stream; detect_timeout at the deadline; bad_request, bad_response, head_too_large.
  virtual io::Task<Result<Piece>> read(io::TimePoint deadline) = 0;
  // Writes a piece as one, and returns when another may follow. Errors: what ended the stream; detect_timeout.
  virtual io::Task<Status> write(Piece piece, io::TimePoint deadline) = 0;
  // Gives the exchange up: RST_STREAM, or the end of an HTTP/1 connection. Waits in progress end with this error. Where
  // the other side's HTTP/2 peer reset the stream (stream_reset), its error code is the os_code and is passed on.
  // not_reached: the peer may send the request elsewhere (REFUSED_STREAM, RFC 9113 section 8.7).
  virtual void reset(const Error& why) = 0;
  void give_up() { reset(Error{Source::local, Reason::cancelled, 0, {}}); }
  // Who is told when the peer resets while nobody reads, or has done so. Null: nobody.
  virtual void watch(Aborted* watcher) = 0;
};

}  // namespace weir::http

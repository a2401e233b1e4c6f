#pragma once
// Reading ahead from a byte stream: a coroutine of the connection's own keeps one read going, so that a peer that leaves
// is noticed while an exchange waits for something else, and so that a time-out or a cancelled exchange never has to
// cancel a kernel operation. One buffer at most waits here; the next is read when it has been taken.
// Thread: one worker. Lifetime: a member of its connection, whose scope runs the coroutine.
#include <optional>

#include "nodeproxy/io/byte_stream.h"
#include "nodeproxy/io/signal.h"

namespace weir::http {

class ReadAhead {
 public:
  explicit ReadAhead(io::ByteStream& stream) : stream_(stream) {}

  // Ends at FIN or at an error. Spawn it once into the connection's scope.
  io::Task<void> run();
  // Put in front of what is read, before run().
  void put_back(io::Buffer buffer) { waiting_ = std::move(buffer); }

  // The buffer that waits; empty at FIN. Errors: the stream's, detect_timeout at the deadline, cancelled.
  io::Task<Result<io::Buffer>> take(io::TimePoint deadline);
  // After our FIN and before a close: takes and forgets what still comes, so that no reset overtakes what was written, until
  // the peer's FIN. Where that does not come: http_linger of silence, and as long as something is on its way to a peer that
  // reads slowly; http_linger_max of noise or http_linger_max_bytes of it.
  io::Task<void> linger(io::Driver& driver);
  // Whether take() would return at once.
  bool ready() const { return !waiting_.empty() || fin_ || error_.has_value(); }
  const std::optional<Error>& error() const { return error_; }
  bool fin() const { return fin_; }
  bool stopped() const { return stopped_; }

  // take() says FIN from here on: nothing more is wanted.
  void stop() {
    fin_ = stopped_ = true;
    arrived_.notify();
  }
  // Called, on the reader's stack, for an error or a FIN that comes while nobody waits in take().
  void on_end(void (*call)(void*), void* argument) {
    end_call_ = call;
    end_argument_ = argument;
  }

 private:
  io::ByteStream& stream_;
  io::Buffer waiting_;
  std::optional<Error> error_;
  bool fin_ = false, stopped_ = false;
  io::Signal arrived_, taken_;
  void (*end_call_)(void*) = nullptr;
  void* end_argument_ = nullptr;
};

}  // namespace weir::http

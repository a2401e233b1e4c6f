#pragma once
// The one abstract seam of the data path: everything that the corridor asks of a kernel. Three drivers stand behind
// it: io_uring (uring.cc), epoll (epoll.cc), and the simulator (sim.cc: seed, virtual clock, faults). Operations are
// started with an Op and end with exactly one final completion, cancelled or not; a descriptor is closed, and an Op
// destroyed, only after that ("stop → join → close").
// One turn: submit and wait → completions and ready coroutines, each account in its turn (fair_queue.h) → deferred work
// (lane flushes) → next turn. A turn is bounded: what is left when its time is over waits in the queue, while the kernel
// is asked for what has come meanwhile.
// Thread: one worker owns a driver; only wake() may be called from others.
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <vector>

#include "nodeproxy/base/error.h"
#include "nodeproxy/base/ip.h"
#include "nodeproxy/io/buffer.h"
#include "nodeproxy/io/fair_queue.h"
#include "nodeproxy/io/timers.h"

namespace weir::io {

// A kernel operation in flight, embedded in whoever awaits it.
class Op {
 public:
  // `result` as the kernel gives it (≥ 0, or −errno). `more`: a multishot operation that goes on (accept).
  virtual void complete(int32_t result, Buffer buffer, bool more) = 0;
  bool in_flight() const { return handle_ != 0; }

 protected:
  Op() = default;
  // On whose account its completion runs; set before it is started.
  void set_share(Share share) { share_ = share; }
  Share share() const { return share_; }
  Op(const Op&) = delete;
  Op& operator=(const Op&) = delete;
  ~Op() {
    if (in_flight()) std::abort();  // the kernel would write into whatever comes here next
  }

 private:
  friend class Driver;
  uint64_t handle_ = 0;  // the driver's generation-tagged handle; 0: idle
  Share share_ = kOwnShare;
};

// Work put off to the end of the turn, once however often asked for: what makes one send of many frames.
class Deferred {
 public:
  virtual void run_deferred() = 0;

 protected:
  Deferred() = default;
  Deferred(const Deferred&) = delete;
  Deferred& operator=(const Deferred&) = delete;
  ~Deferred() = default;

 private:
  friend class Driver;
  bool queued_ = false;
};

// How a socket of the proxy is made (capture.md "The proxy's sockets").
struct SocketSpec {
  int netns_fd = -1;            // made in this network namespace; −1: the proxy's own
  SocketAddress bind = {};      // unspecified address: none; port 0: the kernel's choice
  bool v6 = false;              // family when bind is unspecified
  bool transparent = false;     // IP_TRANSPARENT: bind an address that is not the pod's
  uint32_t mark = 0;            // SO_MARK
  bool reset_on_close = false;  // SO_LINGER {1, 0}: a killed proxy is a reset to the application
  int user_timeout_ms = 0;      // TCP_USER_TIMEOUT; also switches keepalive on
  bool keepalive = false;       // probes alone (base/limits.h)
  int notsent_lowat_bytes = 0;  // TCP_NOTSENT_LOWAT
};

enum class ReceiveSize : uint8_t { small, large };  // which provided buffers (base/limits.h)

class Driver {
 public:
  virtual ~Driver() = default;

  // Operations. The Op must stay until its final completion; `bytes` of a send too. They complete inside turn(), never
  // inside the call that starts or cancels them.
  virtual void accept(Op& op, int fd) = 0;  // multishot; result: the accepted descriptor
  virtual void connect(Op& op, int fd, const SocketAddress& to) = 0;
  // result 0 with an empty buffer: FIN. `poll_first`: the socket was just drained, do not try at once.
  virtual void receive(Op& op, int fd, ReceiveSize size, bool poll_first) = 0;
  // May be short; no SIGPIPE. `more`: shutdown_write() follows at once, and the last bytes may wait to share its segment.
  virtual void send(Op& op, int fd, std::span<const std::byte> bytes, bool more) = 0;
  virtual void wait_readable(Op& op, int fd) = 0;  // one shot
  // Asks for an early end; the completion still comes (usually −ECANCELED). No-op when idle.
  virtual void cancel(Op& op) = 0;
  // Cancels an accept for good: what waits at the listener when it ends is still handed over, where otherwise nobody else
  // may be woken for it.
  virtual void stop_accept(Op& op) { cancel(op); }
  // Whether a connection waits at this listener of which an accept in flight may never hear.
  virtual bool connection_waits(int) { return false; }

  // Sockets; synchronous, they do not block.
  virtual Result<int> open_socket(const SocketSpec& spec) = 0;
  virtual Result<SocketAddress> local_address(int fd) = 0;
  virtual Result<SocketAddress> peer_address(int fd) = 0;
  virtual void shutdown_write(int fd) = 0;
  // Whether the connection is over without a FIN of ours: a reset is told once, and if a send was told, the next
  // receive says end of stream. To be asked then, while our own direction is still open.
  virtual bool broken(int fd) = 0;
  // Whether bytes that were sent, or our FIN, wait to be acknowledged.
  virtual bool undelivered(int fd) = 0;
  virtual void set_reset_on_close(int fd, bool on) = 0;
  virtual void set_no_delay(int fd) = 0;
  virtual void set_user_timeout(int fd, int user_timeout_ms) = 0;  // as SocketSpec's, of an accepted socket
  virtual void set_keepalive(int fd) = 0;  // likewise; of a listener: of all that it accepts
  virtual void close(int fd) = 0;
  // How many descriptors the process may have beyond this one, which was just made; −1: beyond the next one.
  virtual int64_t descriptors_beyond(int) { return INT64_MAX; }

  // One turn of the loop, waiting until `until` at most (or the next timer); not at all when coroutines were ready.
  virtual void turn(TimePoint until) = 0;
  virtual TimePoint now() const = 0;
  virtual void wake() = 0;  // from any thread: ends a waiting turn
  virtual std::string_view name() const = 0;

  Timers& timers() { return timers_; }
  // Resume this coroutine from the loop, rather than from inside the caller, when it is that account's turn.
  void ready(std::coroutine_handle<> handle, Share share) { queue_.push(share, {.resume = handle}); }
  // The account that is running now.
  Share share() const { return running_share_; }
  void defer(Deferred& work) {
    if (work.queued_) return;
    work.queued_ = true;
    deferred_.push_back(&work);
  }
  void forget(Deferred& work);  // before it is destroyed

 protected:
  static uint64_t handle_of(const Op& op) { return op.handle_; }
  static void set_handle(Op& op, uint64_t handle) { op.handle_ = handle; }
  bool has_ready() const { return !queue_.empty() || !deferred_.empty(); }
  // An operation has ended, or (`more`) said something: finish() follows in its turn, until when it is in flight.
  void completed(const Op& op, int32_t result, Buffer buffer, bool more) {
    queue_.push(op.share_,
                {.handle = op.handle_, .result = result, .more = more, .buffer = std::move(buffer)});
  }
  virtual void finish(uint64_t handle, int32_t result, Buffer buffer, bool more) = 0;
  virtual TimePoint read_clock() = 0;
  // Runs what is ready, then deferred work, until both are empty or the turn has lasted limits::turn_max.
  void run_ready();

 private:
  bool run_queue(TimePoint last, TimePoint end);  // from `last` until `end`
  void run_deferred();

  Timers timers_;
  FairQueue queue_;
  Share running_share_ = kOwnShare;
  std::vector<Deferred*> deferred_, running_;
};

}  // namespace weir::io

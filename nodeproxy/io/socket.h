#pragma once
// A TCP socket as the corridor sees it: awaitable receive, send, connect and accept, each with an optional deadline
// and each cancelled with its scope. Awaiting costs no frame and no allocation: the kernel operation lives in the
// awaiter, inside the frame of whoever awaits.
// Errors: Reason::cancelled from the scope; Reason::connect_timeout, detect_timeout, … is the caller's naming of
// `timed_out()`; else reason_of_errno.
// Thread: one worker. Lifetime: the socket outlives every await on it; close() only when none is in flight.
#include <cerrno>
#include <coroutine>
#include <cstring>

#include "nodeproxy/io/scope.h"

namespace weir::io {

// The common part of awaiting one kernel operation.
class IoWait : protected Op, protected Suspension, protected Timer {
 public:
  bool await_ready() const noexcept { return false; }
  template <typename Promise>
  bool await_suspend(std::coroutine_handle<Promise> waiting) {
    Scope* scope = waiting.promise().scope;
    if (cancelled_before(scope)) {
      result_ = -ECANCELED;
      return false;
    }
    waiting_ = waiting;
    set_share(scope->share());
    enter(scope);
    if (deadline_ != kNever) driver_.timers().arm(*this, deadline_);
    start();
    return true;
  }

 protected:
  IoWait(Driver& driver, TimePoint deadline) : driver_(driver), deadline_(deadline) {}
  ~IoWait() = default;

  virtual void start() = 0;
  // Returns true when the whole is done, false when it started again (short sends).
  virtual bool advance(int32_t) { return true; }
  Status status() const;
  bool ended_by_deadline() const { return result_ == -ECANCELED && timed_out_ && !cancelled_; }

  Driver& driver_;
  TimePoint deadline_;
  int32_t result_ = 0;
  bool timed_out_ = false;
  bool cancelled_ = false;
  Buffer buffer_;

 private:
  void complete(int32_t result, Buffer buffer, bool more) override;
  void on_cancel() override;
  void fire() override;

  std::coroutine_handle<> waiting_;
};

class Socket {
 public:
  Socket() = default;
  Socket(Driver& driver, int fd) : driver_(&driver), fd_(fd) {}
  Socket(Socket&& other) noexcept
      : driver_(other.driver_), fd_(std::exchange(other.fd_, -1)), drained_(other.drained_) {}
  Socket& operator=(Socket&& other) noexcept {
    close();
    driver_ = other.driver_;
    fd_ = std::exchange(other.fd_, -1);
    drained_ = other.drained_;
    return *this;
  }
  ~Socket() { close(); }

  class Receive final : public IoWait {
   public:
    Receive(Socket& socket, ReceiveSize size, TimePoint deadline)
        : IoWait(*socket.driver_, deadline), socket_(socket), size_(size) {}
    // An empty buffer is the peer's FIN. Reason::detect_timeout at the deadline.
    Result<Buffer> await_resume();

   private:
    void start() override { driver_.receive(*this, socket_.fd_, size_, socket_.drained_); }
    Socket& socket_;
    ReceiveSize size_;
  };

  class Send final : public IoWait {
   public:
    Send(Socket& socket, std::span<const std::byte> bytes, TimePoint deadline, bool more)
        : IoWait(*socket.driver_, deadline), fd_(socket.fd_), more_(more), bytes_(bytes) {}
    Status await_resume() { return status(); }

   private:
    void start() override { driver_.send(*this, fd_, bytes_, more_); }
    bool advance(int32_t result) override;
    int fd_;
    bool more_;
    std::span<const std::byte> bytes_;
  };

  class Connect final : public IoWait {
   public:
    Connect(Socket& socket, const SocketAddress& to, TimePoint deadline)
        : IoWait(*socket.driver_, deadline), fd_(socket.fd_), to_(to) {}
    Status await_resume() { return status(); }

   private:
    void start() override { driver_.connect(*this, fd_, to_); }
    int fd_;
    SocketAddress to_;
  };

  Receive receive(ReceiveSize size, TimePoint deadline = kNever) { return Receive(*this, size, deadline); }
  // Sends all of `bytes`, which must stay. `more`: as Driver::send's.
  Send send(std::span<const std::byte> bytes, TimePoint deadline = kNever, bool more = false) {
    return Send(*this, bytes, deadline, more);
  }
  Connect connect(const SocketAddress& to, TimePoint deadline) { return Connect(*this, to, deadline); }

  void shutdown_write() { driver_->shutdown_write(fd_); }
  void set_no_delay() { driver_->set_no_delay(fd_); }
  bool broken() const { return driver_->broken(fd_); }            // see Driver::broken
  bool undelivered() const { return driver_->undelivered(fd_); }  // likewise
  // What closing it does: true, RST (SO_LINGER {1, 0}); false, FIN after what is queued.
  void set_reset_on_close(bool on) { driver_->set_reset_on_close(fd_, on); }
  void set_user_timeout(int user_timeout_ms) { driver_->set_user_timeout(fd_, user_timeout_ms); }
  void close() {
    if (fd_ >= 0) driver_->close(std::exchange(fd_, -1));
  }
  int fd() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  Driver& driver() const { return *driver_; }

 private:
  Driver* driver_ = nullptr;
  int fd_ = -1;
  bool drained_ = false;  // the last receive left nothing: wait for the poll before trying
};

}  // namespace weir::io

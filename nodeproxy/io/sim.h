#pragma once
// The simulator behind the driver seam: workers of several nodes in one virtual network, scripted applications at its
// edge (sim_app.h), faults at every step. Operations take effect at a random moment and complete at a later one, out
// of order, a few per turn; so a cancel may come before, between or after. Reads and writes are cut at random.
// The same seed and the same program give the same run.
// It checks what the seam promises: no descriptor closed twice, or used by another worker, or closed while an
// operation is in flight on it; and at the end, audit() finds what was leaked.
// Thread: one (wake() from any). Lifetime: a test case; drivers are the world's.
#include <array>
#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "nodeproxy/io/driver.h"
#include "nodeproxy/io/sim_app.h"
#include "nodeproxy/io/sim_network.h"

namespace weir::io {

class SimWorld;

// How often, per million steps of operations.
struct SimFaults {
  uint32_t error = 0;        // an operation ends with an error that its kind can have
  uint32_t reset = 0;        // the connection breaks under a receive or send
  uint32_t open_error = 0;   // open_socket fails
  uint32_t accept_ends = 0;  // a multishot accept ends after a good one
};

class SimDriver final : public Driver, private BufferPool {
 public:
  void accept(Op& op, int fd) override { start(op, {.kind = Kind::accept, .fd = fd}); }
  void connect(Op& op, int fd, const SocketAddress& to) override {
    start(op, {.kind = Kind::connect, .fd = fd, .to = to});
  }
  void receive(Op& op, int fd, ReceiveSize size, bool poll_first) override;
  void send(Op& op, int fd, std::span<const std::byte> bytes, bool) override {
    start(op, {.kind = Kind::send, .fd = fd, .bytes = bytes});
  }
  void wait_readable(Op& op, int fd) override { start(op, {.kind = Kind::readable, .fd = fd}); }
  void cancel(Op& op) override;

  Result<int> open_socket(
      const SocketSpec& spec) override;  // spec.netns_fd, mark and time-outs mean nothing here
  Result<SocketAddress> local_address(int fd) override;
  Result<SocketAddress> peer_address(int fd) override;
  void shutdown_write(int fd) override;
  bool broken(int fd) override;
  bool undelivered(int fd) override;
  void set_reset_on_close(int fd, bool on) override;
  void set_no_delay(int fd) override;
  void set_user_timeout(int fd, int user_timeout_ms) override;
  void set_keepalive(int fd) override;
  void close(int fd) override;
  int64_t descriptors_beyond(int fd) override;

  void turn(TimePoint until) override;
  TimePoint now() const override;
  void wake() override { woken_.store(true); }
  std::string_view name() const override { return "simulator"; }

  int node() const { return node_; }
  size_t in_flight() const { return pending_.size(); }
  size_t buffers_on_loan() const { return on_loan_; }

 private:
  friend class SimWorld;
  enum class Kind : uint8_t { accept, connect, receive, send, readable };
  struct Pending {
    Kind kind;
    int fd;
    std::span<const std::byte> bytes = {};
    size_t size = 0;  // of a receive's buffer
    SocketAddress to = {};
    Op* op = nullptr;
    bool executed = false;  // the last effect is done, the completion under way
    bool cancelled = false;
  };
  struct Completion {
    uint64_t handle;
    TimePoint due;
    int32_t result;
    Buffer buffer;
    bool more;
  };
  struct Descriptor;

  SimDriver(SimWorld& world, int node, const Ip& ip) : world_(world), node_(node), ip_(ip) {}
  void start(Op& op, Pending pending);
  void attempt_later(uint64_t handle);
  void attempt(uint64_t handle);
  int64_t try_once(Pending& pending, Descriptor& descriptor, Buffer& buffer);
  int64_t try_accept(Descriptor& descriptor);
  int64_t try_connect(Pending& pending, Descriptor& descriptor);
  int64_t try_receive(Pending& pending, Descriptor& descriptor, Buffer& buffer);
  int64_t try_send(Pending& pending, Descriptor& descriptor);
  int32_t fault(Pending& pending, Descriptor& descriptor);
  void complete_later(uint64_t handle, int32_t result, Buffer buffer, bool more);
  Descriptor* mine(int fd, const char* what);
  void finish(uint64_t handle, int32_t result, Buffer buffer, bool more) override;
  TimePoint read_clock() override;
  bool has_work();
  void poll();
  void deliver();
  void give_back(std::byte* memory, uint32_t token) override;

  SimWorld& world_;
  int node_;
  Ip ip_;
  uint64_t next_handle_ = 0;
  size_t on_loan_ = 0;
  std::map<uint64_t, Pending> pending_;
  std::vector<Completion> completions_;
  std::atomic<bool> woken_ = false;
};

class SimWorld {
 public:
  explicit SimWorld(uint64_t seed, const SimNetwork::Options& options = {});
  ~SimWorld();

  // A worker of a node; workers of one node share its address (default 10.0.0.<node + 1>).
  SimDriver& add_driver(int node = 0);
  // A listening descriptor of that worker. A capture makes connects from other nodes to `ip`, any port, meet it.
  int listen(SimDriver& driver, const SocketAddress& address, size_t backlog = 128);
  void capture(const Ip& ip, SimDriver& driver, int fd);

  // Applications. `through`: the listener that a connect meets, whatever it dialled (outbound capture); −1: none.
  SimApp& connect_app(const SocketAddress& from, const SocketAddress& to, int through = -1, int node = -1);
  SimAppListener& listen_app(const SocketAddress& address, int node = -1);
  // Whether it waits in the queue of a worker's listener, accepted by nobody yet.
  bool waits_in_queue(const SimApp& app) const;

  void set_faults(const SimFaults& faults) { faults_ = faults; }
  // The next operation of this kind that is tried, on any driver, fails with this errno.
  enum class Step : uint8_t { accept, connect, receive, send, wait_readable, open_socket };
  void fail_next(Step step, int os_code) { forced_[static_cast<size_t>(step)] = os_code; }
  // What there are beyond every descriptor that is made, as long as this is so.
  void set_descriptors_beyond(int64_t count) { descriptors_beyond_ = count; }
  SimNetwork& network() { return network_; }
  TimePoint now() const { return network_.now(); }

  // Runs every worker until nothing is on its way (timers may still be armed).
  void run_until_idle();
  void run_for(Clock::duration duration);
  // False when `limit` of virtual time passed first.
  bool run_until(const std::function<bool()>& done, Clock::duration limit = std::chrono::minutes(10));

  // Broken promises so far and what is still open: empty after an orderly end.
  std::vector<std::string> audit();
  uint64_t seed() const { return seed_; }

 private:
  friend class SimDriver;
  SimDriver::Descriptor* find(int fd);
  int add_descriptor(SimDriver& driver);
  void broken(std::string what);
  SimDriver* any_with_work();
  void wait_for(SimDriver& driver, TimePoint until);
  bool step(TimePoint until);  // false: nothing to do before `until`
  int forced(Step step) { return std::exchange(forced_[static_cast<size_t>(step)], 0); }
  uint16_t next_port();

  uint64_t seed_;
  SimNetwork network_;
  SimFaults faults_;
  std::array<int, 6> forced_ = {};
  int64_t descriptors_beyond_ = INT64_MAX;
  std::vector<std::unique_ptr<SimDriver>> drivers_;
  std::map<int, std::unique_ptr<SimDriver::Descriptor>> descriptors_;
  std::vector<int> free_fds_;
  int next_fd_ = 1000;
  uint16_t next_port_ = 32'768;
  uint64_t next_birth_ = 0;
  std::set<std::pair<SocketAddress, SocketAddress>> tuples_;  // of connects
  std::vector<std::unique_ptr<SimApp>> apps_;
  std::vector<std::unique_ptr<SimAppListener>> app_listeners_;
  std::vector<std::string> broken_;
};

}  // namespace weir::io

#pragma once
// A worker: one thread, one driver, and a Context of everything that its flows share. Others talk to it by messages
// that run on its thread between turns; it takes the newest snapshot by itself at the start of a turn.
// Lifetime: started once; run() returns when it was told to stop or its drain is complete.
#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "nodeproxy/config/publish.h"
#include "nodeproxy/flow/context.h"
#include "nodeproxy/flow/local_pod.h"
#include "nodeproxy/telemetry/report.h"
#include "nodeproxy/upstream/http_pool.h"
#include "nodeproxy/upstream/lane_pool.h"

namespace weir {

class Worker final : private upstream::LanePoolEvents {
 public:
  struct Options {
    uint32_t index = 0, count = 1;
    telemetry::LogWriter* log = nullptr;
    net::ShareLimits source_limits = {};
    config::Publisher* publisher = nullptr;
    std::function<void(const std::string& uid)> pod_accepting, pod_released;  // called on the worker's thread
    // To take_connection() of another worker; likewise. Not called where there is one.
    std::function<void(uint32_t worker, const std::string& uid, flow::Way way, int fd)> hand_over = {};
  };

  Worker(std::unique_ptr<io::Driver> driver, Options options);
  ~Worker();

  void run();
  // From any thread: runs on the worker's, in order.
  void post(std::function<void(Worker&)> message);
  void wake() { driver_->wake(); }

  // On the worker's thread, by message.
  void add_pod(std::shared_ptr<const flow::PodDescriptors> pod);
  void remove_pod(const std::string& uid, bool removed);
  void take_connection(const std::string& uid, flow::Way way, Fd connection);
  void set_certificate(const std::string& identity, std::shared_ptr<const tls::Context> context);
  // Lanes whose peers it does not trust end, within seconds.
  void set_trust(std::shared_ptr<const tls::Bundle> bundle);
  // No new connections; run() returns when the last flow has ended, or at the limit, when the rest is reset.
  void drain(io::Clock::duration limit);
  void stop();
  // Nobody works: what only work needs goes back to malloc, for whoever trims it.
  void rest();
  // Without `rows`: all but the rows of label sets, which may be thousands; for who asks often.
  telemetry::WorkerReport report(bool rows = true);
  // Requests that ended since, for who watches; the first look only says where to go on from.
  telemetry::TapPage tap(std::optional<uint64_t> since, const telemetry::TapFilter& filter, size_t most);
  // The last times that `pod`, "namespace/name", or somebody who called it, was turned away.
  std::vector<telemetry::RefusalLine> refusals(const std::string& pod) { return context_.refusals.of(pod); }
  uint32_t index() const { return options_.index; }
  // Live flows, `most` at the most: for people, not for scrapes.
  std::vector<telemetry::FlowView> flows(size_t most);
  uint64_t turns() const { return turns_.load(std::memory_order_relaxed); }  // from any thread
  flow::Context& context() { return context_; }

 private:
  void on_handshake(const Status& outcome, bool resumed) override;
  void on_lane_opened() override { ++context_.counters.lanes_opened; }
  void on_lane_closed(Reason why) override { ++context_.counters.lanes_closed[static_cast<size_t>(why)]; }
  void on_session_opened() override { ++context_.counters.sessions_opened; }
  void take_messages();
  void take_snapshot();
  void sweep();  // between turns: released pods, idle lanes, bytes of long connections
  void judge_peers();
  void report_balance(telemetry::WorkerReport& report) const;
  bool finished();
  void end_all_flows(Reason reason);

  std::unique_ptr<io::Driver> driver_;
  Options options_;
  flow::Context context_;
  upstream::LanePool lanes_;
  upstream::HttpPool http_;
  std::mutex mutex_;
  std::vector<std::function<void(Worker&)>> messages_;
  std::atomic<bool> has_messages_ = false;
  std::atomic<uint64_t> turns_ = 0;
  std::vector<std::string> released_;
  io::TimePoint drain_until_ = io::kNever;
  io::TimePoint swept_ = {}, judged_ = {};
  bool judging_ = false;  // lanes are left that the bundle has not judged
  uint64_t pauses_seen_ = 0;
  bool stopping_ = false;
};

}  // namespace weir

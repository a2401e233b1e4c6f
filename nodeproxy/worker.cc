// The worker's loop and the messages it answers. See worker.h.
#include "nodeproxy/worker.h"

#include <algorithm>
#include <random>

#include "nodeproxy/base/log.h"

namespace weir {
namespace {

constexpr auto kSweepEvery = std::chrono::milliseconds(500);
// A chain that is new to a bundle takes 0.1 ms to follow. So many at a time, with everybody else's turns in between.
constexpr size_t kJudgedAtOnce = 32;
constexpr auto kJudgeEvery = std::chrono::milliseconds(20);

}  // namespace

Worker::Worker(std::unique_ptr<io::Driver> driver, Options options)
    : driver_(std::move(driver)),
      options_(std::move(options)),
      context_(*driver_, options_.log, options_.index, options_.count, std::random_device{}()),
      lanes_(context_.driver, *this, context_.ports, context_.shares, context_.chains),
      http_(context_.driver, lanes_, context_.ports) {
  context_.lanes = &lanes_;
  context_.http = &http_;
  context_.hand_over = options_.hand_over;
  context_.shares.configure(options_.source_limits);
}

Worker::~Worker() = default;

void Worker::post(std::function<void(Worker&)> message) {
  {
    const std::lock_guard lock(mutex_);
    messages_.push_back(std::move(message));
  }
  has_messages_.store(true, std::memory_order_release);
  driver_->wake();
}

void Worker::run() {
  while (!finished()) {
    take_messages();
    take_snapshot();
    sweep();
    judge_peers();
    context_.log.flush();
    turns_.store(turns() + 1, std::memory_order_relaxed);
    driver_->turn(driver_->now() + (judging_ ? kJudgeEvery : kSweepEvery));
  }
  context_.log.flush();
  if (options_.publisher) options_.publisher->reader(options_.index).retire();
}

void Worker::on_handshake(const Status& outcome, bool resumed) {
  telemetry::WorkerCounters& counters = context_.counters;
  if (!outcome) {
    ++counters.handshakes_failed[static_cast<size_t>(outcome.error().reason)];
  } else {
    ++(resumed ? counters.handshakes_resumed_client : counters.handshakes_full_client);
  }
}

void Worker::take_messages() {
  if (!has_messages_.exchange(false, std::memory_order_acquire)) return;
  std::vector<std::function<void(Worker&)>> messages;
  {
    const std::lock_guard lock(mutex_);
    messages.swap(messages_);
  }
  for (const auto& message : messages) message(*this);
}

void Worker::take_snapshot() {
  if (!options_.publisher) return;
  config::Publisher::Reader& reader = options_.publisher->reader(options_.index);
  const config::Snapshot* next = reader.next();
  if (!next) return;
  const config::Snapshot* before = std::exchange(context_.snapshot, next);
  lanes_.configure(next->mesh.sessions_per_lane);
  for (const auto& [uid, pod] : context_.pods) pod->judge_again(before, *next);
  reader.take_next();
}

void Worker::sweep() {
  for (const std::string& uid : released_) {
    context_.pods.erase(uid);
    options_.pod_released(uid);
  }
  released_.clear();
  if (driver_->now() - swept_ < kSweepEvery) return;
  swept_ = driver_->now();
  // Where accepting had to pause, what is only kept to be faster next time is given up.
  const bool short_of_descriptors =
      std::exchange(pauses_seen_, context_.accept_pauses.count()) != context_.accept_pauses.count();
  http_.sweep(short_of_descriptors);
  lanes_.sweep(short_of_descriptors);
  context_.shares.sweep();
  context_.tap.rest(driver_->now());
  for (const auto& [uid, pod] : context_.pods) {
    for (flow::Link<flow::Flow>* link = pod->flows; link; link = link->next) link->owner->publish_bytes();
    pod->look();
    pod->maybe_release();
  }
}

void Worker::add_pod(std::shared_ptr<const flow::PodDescriptors> descriptors) {
  const std::string uid = descriptors->uid;
  if (!context_.pods.contains(uid)) {
    auto pod =
        std::make_unique<flow::LocalPod>(context_, std::move(descriptors), options_.index, options_.count,
                                         [this](const std::string& gone) { released_.push_back(gone); });
    if (!context_.draining) pod->start();
    context_.pods.emplace(uid, std::move(pod));
  }
  if (!context_.draining) options_.pod_accepting(uid);
}

void Worker::remove_pod(const std::string& uid, bool removed) {
  flow::LocalPod* pod = context_.pod(uid);
  if (!pod) {
    options_.pod_released(uid);
  } else if (removed) {
    pod->remove(Reason::pod_removed);
  } else {
    pod->retire();
  }
}

// Its place here is counted already, so the pod is neither unknown nor released.
void Worker::take_connection(const std::string& uid, flow::Way way, Fd connection) {
  context_.pod(uid)->take(way, connection.release());
}

void Worker::set_certificate(const std::string& identity, std::shared_ptr<const tls::Context> context) {
  std::shared_ptr<const tls::Context>& now = context_.certificates[identity];
  if (now && now != context) lanes_.drop_tickets(now->generation());
  now = std::move(context);
}

void Worker::set_trust(std::shared_ptr<const tls::Bundle> bundle) {
  context_.trust = std::move(bundle);
  judging_ = true;
}

// Lanes that the bundle has not judged: those that it found, and those whose handshake it overtook.
void Worker::judge_peers() {
  if (!context_.trust || driver_->now() - judged_ < (judging_ ? kJudgeEvery : kSweepEvery)) return;
  judged_ = driver_->now();
  size_t judged = lanes_.judge_peers(*context_.trust, kJudgedAtOnce);
  for (const auto& [uid, pod] : context_.pods) {
    for (flow::Link<flow::Flow>* link = pod->flows; link && judged < kJudgedAtOnce; link = link->next)
      judged += link->owner->judge_peer(*context_.trust) ? 1 : 0;
  }
  judging_ = judged >= kJudgedAtOnce;
}

void Worker::drain(io::Clock::duration limit) {
  if (context_.draining) return;
  context_.draining = true;
  drain_until_ = driver_->now() + limit;
  for (const auto& [uid, pod] : context_.pods) pod->drain();
}

void Worker::rest() { io::frame_give_back(); }

void Worker::stop() { stopping_ = true; }

void Worker::end_all_flows(Reason reason) {
  for (const auto& [uid, pod] : context_.pods) pod->remove(reason);
}

bool Worker::finished() {
  if (stopping_) return true;
  if (!context_.draining) return false;
  // The pools serve what live connections still ask for; nobody is left to ask once the last has ended.
  if (context_.live_flows == 0 &&
      std::ranges::all_of(context_.pods, [](const auto& pod) { return pod.second->quiet(); })) {
    http_.drain();
    lanes_.drain();
    if (http_.empty() && lanes_.empty()) return true;
  }
  if (driver_->now() < drain_until_) return false;
  // The limit: the rest is reset, and gets a moment to leave in order.
  log::warn("worker {}: {} flows still open at the drain limit", options_.index, context_.live_flows);
  end_all_flows(Reason::drain_limit);
  http_.close_all(Reason::drain_limit);
  lanes_.close_all(Reason::drain_limit);
  const io::TimePoint last = driver_->now() + std::chrono::seconds(1);
  while ((context_.live_flows > 0 || !http_.empty() || !lanes_.empty()) && driver_->now() < last) {
    driver_->turn(driver_->now() + std::chrono::milliseconds(20));
  }
  return true;
}

telemetry::WorkerReport Worker::report(bool rows) {
  telemetry::WorkerReport report;
  for (const auto& [uid, pod] : context_.pods) {
    uint64_t flows = 0;
    for (flow::Link<flow::Flow>* link = pod->flows; link; link = link->next) {
      link->owner->publish_bytes();
      const mesh::Carrier* carrier = link->owner->carries();
      flows += carrier ? 0 : 1;
      if (!carrier || carrier->ended()) continue;
      ++report.lanes_accepted;
      report.sessions_accepted += carrier->lane().sessions();
    }
    report.pods.push_back({uid, flows});
    report.live_flows += flows;
  }
  if (rows) {
    report.rows = context_.series.copy();
    report.requests = context_.request_series.copy();
  }
  report.counters = context_.counters;
  report.counters.turns = turns();
  report.counters.chains_known = context_.chains.known();
  report.counters.chains_followed = context_.chains.followed();
  report.accept_pauses = context_.accept_pauses.by_reason();
  static_assert(net::kShareLimits == telemetry::kSourceLimits.size());
  report.source_refusals = context_.shares.refused();
  report.lanes_dialled = lanes_.lanes();
  report.sessions_dialled = lanes_.sessions();
  report.upstream_connections = {report.lanes_dialled, http_.connections(false), http_.connections(true)};
  report_balance(report);
  return report;
}

// The enums of balance/ and of telemetry/ are in the same order: neither room knows the other.
void Worker::report_balance(telemetry::WorkerReport& report) const {
  static_assert(balance::kCauses == telemetry::kEjectionCauses.size());
  const io::TimePoint now = driver_->now();
  std::map<std::string_view, telemetry::ServiceEjections> ejections;
  for (const auto& [service, total] : context_.balance.ejections()) {
    if (total != balance::Ejections{}) ejections[service] = {service, total, {}};
  }
  for (const balance::EjectedView& out : context_.balance.ejected(now)) {
    ejections[out.service].now.push_back(
        {out.address, out.port, static_cast<telemetry::EjectionCause>(out.cause), out.until - now});
  }
  for (auto& [service, one] : ejections) report.ejections.push_back(std::move(one));
  for (const auto& [service, counts] : context_.balance.refusals())
    report.breakers.push_back({service, counts});
}

telemetry::TapPage Worker::tap(std::optional<uint64_t> since, const telemetry::TapFilter& filter,
                               size_t most) {
  telemetry::TapPage page = context_.tap.read(since, filter, most, driver_->now());
  page.worker = options_.index;
  return page;
}

std::vector<telemetry::FlowView> Worker::flows(size_t most) {
  std::vector<telemetry::FlowView> views;
  for (const auto& [uid, pod] : context_.pods) {
    for (flow::Link<flow::Flow>* link = pod->flows; link && views.size() < most; link = link->next) {
      const telemetry::Record& record = link->owner->record;
      if (link->owner->carries()) continue;
      views.push_back({uid, options_.index, record.facts, record.is_open(), record.sent_bytes,
                       record.received_bytes, driver_->now() - record.begun()});
    }
  }
  return views;
}

}  // namespace weir

// Wiring, certificates and pods on the config thread. Start, admin and drain are in app_start.cc. See app.h.
#include "nodeproxy/app.h"

#include <malloc.h>

#include <random>

#include "nodeproxy/base/log.h"

namespace weir {
namespace {

int64_t unix_seconds(tls::WallTime time) {
  return std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch()).count();
}

}  // namespace

App::App(AppOptions options) : options_(std::move(options)), certificates_(std::random_device{}()) {}

App::~App() = default;

void App::on_snapshot(std::shared_ptr<const config::Snapshot> snapshot) {
  if (const config::Trust* trust = snapshot->trust()) take_trust(*trust);
  {
    const std::lock_guard lock(mutex_);
    snapshot_ = snapshot;
  }
  publisher_->publish(std::move(snapshot));
}

// Whatever its version says: roots that are others make another bundle.
void App::take_trust(const config::Trust& trust) {
  tls::Trust now{trust.domain, trust.version, trust.roots};
  const tls::Bundle* before = certificates_.bundle().get();
  if (before && before->trust() == now) return;
  if (const Status status = certificates_.set_trust(std::move(now)); !status) {
    log::error("trust bundle {} version {}: {}", trust.domain, trust.version, status.error().describe());
    return;
  }
  hand_out_certificates();
  for (const auto& worker : workers_)
    worker->post([bundle = certificates_.bundle()](Worker& to) { to.set_trust(bundle); });
}

void App::on_local_pod(config::LocalPod pod) {
  const std::string uid = pod.uid, identity = pod.identity;
  {
    const std::lock_guard lock(mutex_);
    const auto known = pods_.find(uid);
    if (known != pods_.end() && !known->second.leaving) {
      if (known->second.accepting == workers_.size())
        link_->pod_accepting(uid);  // said again, after a reconnect
      return;
    }
    auto descriptors = std::make_shared<flow::PodDescriptors>(options_.workers);
    descriptors->uid = uid;
    descriptors->identity = identity;
    descriptors->netns = std::move(pod.network_namespace);
    descriptors->outbound = std::move(pod.outbound);
    descriptors->inbound = std::move(pod.inbound);
    descriptors->listener_port = pod.listener_port;
    pods_[uid] = Pod{.descriptors = descriptors};
  }
  log::info("pod {}: serving as {}", uid, identity);
  if (const Status status = certificates_.add(identity); !status) {
    log::error("pod {}: {}", uid, status.error().describe());
  }
  on_tick();
}

void App::on_local_pod_gone(const std::string& uid, bool removed) {
  std::string identity;
  {
    const std::lock_guard lock(mutex_);
    const auto known = pods_.find(uid);
    if (known == pods_.end()) {
      link_->pod_released(uid);
      return;
    }
    if (known->second.leaving && !removed) return;
    if (!known->second.leaving) identity = known->second.descriptors->identity;
    known->second.leaving = true;
    for (const auto& worker : workers_)
      worker->post([uid, removed](Worker& to) { to.remove_pod(uid, removed); });
  }
  log::info("pod {}: {}", uid, removed ? "removed" : "unenrolled, draining");
  if (!identity.empty()) certificates_.remove(identity);
}

void App::pod_accepting(const std::string& uid) {
  const std::lock_guard lock(mutex_);
  const auto pod = pods_.find(uid);
  if (pod != pods_.end() && ++pod->second.accepting == workers_.size()) link_->pod_accepting(uid);
}

void App::pod_released(const std::string& uid) {
  std::shared_ptr<const flow::PodDescriptors> last;  // closed outside the lock
  const std::lock_guard lock(mutex_);
  const auto pod = pods_.find(uid);
  if (pod == pods_.end() || ++pod->second.released < workers_.size()) return;
  last = std::move(pod->second.descriptors);
  pods_.erase(pod);
  last.reset();
  link_->pod_released(uid);
}

// The message owns the descriptor: one that its worker leaves unread, as at the end of a drain's limit, closes it.
void App::hand_over(uint32_t worker, const std::string& uid, flow::Way way, int fd) {
  workers_[worker]->post([uid, way, connection = std::make_shared<Fd>(fd)](Worker& to) {
    to.take_connection(uid, way, std::move(*connection));
  });
}

void App::on_certificate(const std::string& identity, std::vector<std::string> chain_der) {
  const auto context = certificates_.install(identity, chain_der, tls::Now::read());
  if (!context) {
    log::error("certificate for {}: {}", identity, context.error().describe());
    const std::lock_guard lock(mutex_);
    certificate_states_[identity].error = context.error().describe();
    return;
  }
  hand_out_certificates();
  begin_accepting();
}

void App::on_certificate_refused(const std::string& identity, const std::string& error, bool retry) {
  log::error("certificate for {} refused: {}{}", identity, error, retry ? "; asking again" : "");
  certificates_.refused(identity, tls::Now::read());
  const std::lock_guard lock(mutex_);
  certificate_states_[identity].error = error;
}

// Every identity's Context that changed (new chain, new trust, expired) goes to all workers.
void App::hand_out_certificates() {
  const tls::Now now = tls::Now::read();
  const std::lock_guard lock(mutex_);
  std::map<std::string, CertificateState> states;
  for (const auto& view : certificates_.view()) {
    const auto context = certificates_.get(view.identity, now);
    CertificateState state = certificate_states_[view.identity];
    if (context != state.handed_out) {
      for (const auto& worker : workers_) {
        worker->post(
            [identity = view.identity, context](Worker& to) { to.set_certificate(identity, context); });
      }
      if (!context) log::error("certificate for {} has expired: its connections are refused", view.identity);
      if (context) state.error.clear();
      state.handed_out = context;
    }
    state.not_after_unix_seconds = context ? unix_seconds(context->not_after()) : 0;
    states.emplace(view.identity, std::move(state));
  }
  certificate_states_ = std::move(states);
}

// A pod is accepted for once there is a certificate to speak with: until then its connections are better off with another
// proxy that has the same listeners, or in their queue. Who waited in vain accepts all the same, and says why it refuses.
void App::begin_accepting() {
  const auto now = std::chrono::steady_clock::now();
  const std::lock_guard lock(mutex_);
  for (auto& [uid, pod] : pods_) {
    if (pod.begun || pod.leaving) continue;
    const auto state = certificate_states_.find(pod.descriptors->identity);
    const bool has_certificate = state != certificate_states_.end() && state->second.handed_out;
    if (!has_certificate && now - pod.came < limits::certificate_wait) continue;
    pod.begun = true;
    for (const auto& worker : workers_)
      worker->post([descriptors = pod.descriptors](Worker& to) { to.add_pod(descriptors); });
  }
}

void App::on_connected(bool connected) {
  if (connected) {
    log::info("connected to the agent at {}", options_.agent_socket);
  } else {
    log::warn("lost the agent at {}; going on with the last state", options_.agent_socket);
  }
}

std::vector<config::HeldPod> App::held_pods() {
  std::vector<config::HeldPod> held;
  const std::lock_guard lock(mutex_);
  for (const auto& [uid, pod] : pods_) {
    if (pod.leaving) continue;
    config::HeldPod one{.uid = uid,
                        .network_namespace = Fd(::dup(pod.descriptors->netns.get())),
                        .outbound = {},
                        .inbound = {},
                        .listener_port = pod.descriptors->listener_port};
    for (const Fd& fd : pod.descriptors->outbound) one.outbound.emplace_back(::dup(fd.get()));
    for (const Fd& fd : pod.descriptors->inbound) one.inbound.emplace_back(::dup(fd.get()));
    held.push_back(std::move(one));
  }
  return held;
}

void App::on_tick() {
  publisher_->reclaim();
  for (const tls::SigningRequest& request : certificates_.due(tls::Now::read())) {
    link_->request_certificate(request.identity, request.csr);
  }
  hand_out_certificates();
  begin_accepting();
  give_back_memory();
}

// Trimming locks every thread's arena in turn, a millisecond for 10 MB of free memory: only while all of them rest. By the last
// worker, when all have given back theirs.
void App::give_back_memory() {
  uint64_t turns = 0;
  for (const auto& worker : workers_) turns += worker->turns();
  if (!rest_.begins(turns, options_.workers, std::chrono::steady_clock::now())) return;
  const auto left = std::make_shared<std::atomic<size_t>>(workers_.size());
  for (const auto& worker : workers_) {
    worker->post([left](Worker& to) {
      to.rest();
      if (--*left == 0) ::malloc_trim(0);
    });
  }
}

}  // namespace weir

// The loop of the config thread: connect, say Hello, take messages and send what other threads posted, until stop().
// See agent_link.h.
#include "nodeproxy/config/agent_link.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <deque>
#include <iterator>
#include <map>
#include <optional>
#include <random>
#include <utility>

#include "nodeproxy/base/log.h"
#include "nodeproxy/base/message_socket.h"
#include "nodeproxy/config/mesh.pb.h"

namespace weir::config {
namespace {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;
namespace v1 = mesh::v1;

constexpr uint32_t kSchemaLevel = 1;
constexpr auto kTick = 1s;
constexpr auto kRetryFirst = 50ms;
constexpr auto kRetryMost = 5s;
constexpr auto kWelcomeTimeout = 10s;
// Words about pods that wait for an agent: far above the pods of a node.
constexpr size_t kWaitingMax = 100'000;

int poll_ms(Clock::duration duration) {
  return static_cast<int>(
      std::chrono::ceil<std::chrono::milliseconds>(std::max(duration, Clock::duration(0))).count());
}

std::vector<int> borrowed(const Fd& first, const std::vector<Fd>& second, const std::vector<Fd>& third) {
  std::vector<int> all{first.get()};
  for (const Fd& fd : second) all.push_back(fd.get());
  for (const Fd& fd : third) all.push_back(fd.get());
  return all;
}

}  // namespace

// What other threads want said. The mutex guards the two collections; the eventfd wakes the loop.
struct AgentLink::Outbox {
  std::mutex mutex;
  std::deque<std::string> waiting;                  // serialised FromProxy, to be sent once each
  std::map<std::string, std::string> certificates;  // identity → CSR, until answered
  std::vector<std::string> asked_anew;  // identities whose request is yet to be sent on this connection
  std::atomic<bool> stopping{false};
  Fd wake;

  void ring() {
    const uint64_t one = 1;
    // EAGAIN: the counter is full, so the loop is awake anyway.
    [[maybe_unused]] const ssize_t written = ::write(wake.get(), &one, sizeof(one));
  }
  void silence() {
    uint64_t count = 0;
    [[maybe_unused]] const ssize_t got = ::read(wake.get(), &count, sizeof(count));
  }
};

struct AgentLink::Connection {
  MessageSocket socket;
  bool welcomed = false;
  Clock::time_point welcome_deadline = Clock::now() + kWelcomeTimeout;
  std::optional<Error> broken;

  void send(const v1::FromProxy& message, const std::vector<int>& descriptors = {}) {
    if (broken) return;
    if (const Status queued = socket.queue(message.SerializeAsString(), descriptors); !queued)
      broken = queued.error();
  }
};

AgentLink::AgentLink(std::string socket_path, uint32_t workers, std::string version, AgentEvents& events)
    : socket_path_(std::move(socket_path)),
      workers_(workers),
      version_(std::move(version)),
      events_(events),
      outbox_(std::make_unique<Outbox>()) {
  outbox_->wake = Fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
}

AgentLink::~AgentLink() = default;

Status AgentLink::run() {
  if (!outbox_->wake)
    return fail(Source::local, Reason::out_of_descriptors, "no eventfd for the agent's link");
  uint32_t attempt = 0;
  while (!outbox_->stopping) {
    auto socket = connect_unix(socket_path_);
    if (socket) {
      Connection connection{MessageSocket(std::move(*socket)), false, Clock::now() + kWelcomeTimeout, {}};
      serve(connection);
      if (connection.welcomed) {
        attempt = 0;
        events_.on_connected(false);
      }
      if (connection.broken) lost(*connection.broken);
    } else {
      lost(socket.error());
    }
    if (!wait_before_retry(attempt++)) break;
  }
  return {};
}

// One connection, until it breaks or stop().
void AgentLink::serve(Connection& connection) {
  v1::FromProxy first;
  v1::Hello& hello = *first.mutable_hello();
  hello.set_schema_level(kSchemaLevel);
  hello.set_version(version_);
  hello.set_workers(workers_);
  if (const auto snapshot = builder_.current()) hello.set_applied_version(snapshot->version);
  connection.send(first);
  auto next_tick = Clock::now() + kTick;
  while (!outbox_->stopping && !connection.broken) {
    if (connection.welcomed) drain_outbox(connection);
    if (const auto flushed = connection.socket.flush(); !flushed) {
      connection.broken = flushed.error();
      return;
    }
    pollfd polled[2] = {{connection.socket.fd(), POLLIN, 0}, {outbox_->wake.get(), POLLIN, 0}};
    if (connection.socket.wants_write()) polled[0].events |= POLLOUT;
    ::poll(polled, 2, poll_ms(next_tick - Clock::now()));
    if ((polled[1].revents & POLLIN) != 0) outbox_->silence();
    if (polled[0].revents != 0) receive(connection);
    if (Clock::now() >= next_tick) {
      next_tick = Clock::now() + kTick;
      events_.on_tick();
    }
    if (!connection.welcomed && Clock::now() >= connection.welcome_deadline && !connection.broken) {
      connection.broken = fail(Source::agent, Reason::connect_timeout, "the agent sent no Welcome").error();
    }
  }
}

// Everything that has arrived, but sending in between, so that a burst of updates is acknowledged as it is applied.
void AgentLink::receive(Connection& connection) {
  while (!connection.broken && !outbox_->stopping) {
    auto message = connection.socket.receive();
    if (!message) {
      connection.broken = message.error();
      return;
    }
    if (!*message) return;
    handle(connection, (*message)->bytes, (*message)->descriptors);
    events_.on_tick();
    if (connection.broken) return;
    if (const auto flushed = connection.socket.flush(); !flushed) connection.broken = flushed.error();
  }
}

void AgentLink::handle(Connection& connection, const std::string& bytes, std::vector<Fd>& descriptors) {
  v1::FromAgent message;
  if (!message.ParseFromString(bytes)) {
    connection.broken =
        fail(Source::agent, Reason::protocol_error, "a message of the agent is no FromAgent").error();
    return;
  }
  if (message.has_welcome() == connection.welcomed) {
    connection.broken =
        fail(Source::agent, Reason::protocol_error, "Welcome must come first, and once").error();
    return;
  }
  switch (message.message_case()) {
    case v1::FromAgent::kWelcome: return welcome(connection, message);
    case v1::FromAgent::kUpdate: return update(connection, message);
    case v1::FromAgent::kLocalPod: return local_pod(message, descriptors);
    case v1::FromAgent::kLocalPodGone:
      return events_.on_local_pod_gone(message.local_pod_gone().uid(), message.local_pod_gone().removed());
    case v1::FromAgent::kCertificate: {
      const v1::Certificate& certificate = message.certificate();
      answered(certificate.identity());
      return events_.on_certificate(certificate.identity(),
                                    {certificate.chain().begin(), certificate.chain().end()});
    }
    case v1::FromAgent::kCertificateRefused: {
      const v1::CertificateRefused& refused = message.certificate_refused();
      answered(refused.identity());
      return events_.on_certificate_refused(refused.identity(), refused.error(), refused.retry());
    }
    case v1::FromAgent::MESSAGE_NOT_SET:
      log::warn("the agent sent a message of a kind this proxy does not know; it is skipped");
  }
}

void AgentLink::welcome(Connection& connection, const mesh::v1::FromAgent& message) {
  connection.welcomed = true;
  log::info("connected to agent {} of node {}", message.welcome().agent_version(), message.welcome().node());
  {
    const std::lock_guard lock(status_mutex_);
    status_.connected = true;
    ++status_.connects;
    status_.agent_version = message.welcome().agent_version();
    status_.node = message.welcome().node();
    status_.last_error.clear();
  }
  for (const HeldPod& held : events_.held_pods()) {
    v1::FromProxy old;
    v1::OldListeners& listeners = *old.mutable_old_listeners();
    listeners.set_uid(held.uid);
    listeners.set_outbound_listeners(static_cast<uint32_t>(held.outbound.size()));
    listeners.set_inbound_listeners(static_cast<uint32_t>(held.inbound.size()));
    listeners.set_listener_port(held.listener_port);
    connection.send(old, borrowed(held.network_namespace, held.outbound, held.inbound));
  }
  {
    const std::lock_guard lock(outbox_->mutex);
    outbox_->asked_anew.clear();
    for (const auto& [identity, csr] : outbox_->certificates) outbox_->asked_anew.push_back(identity);
  }
  events_.on_connected(true);
}

void AgentLink::update(Connection& connection, const mesh::v1::FromAgent& message) {
  v1::FromProxy answer;
  v1::Ack& ack = *answer.mutable_ack();
  ack.set_version(message.update().version());
  const auto snapshot = builder_.apply(message.update());
  {
    const std::lock_guard lock(status_mutex_);
    if (snapshot) {
      ++status_.updates_applied;
      status_.version_applied = (*snapshot)->version;
      status_.last_error.clear();
    } else {
      ++status_.updates_refused;
      status_.last_error = describe(snapshot.error());
    }
  }
  if (!snapshot) {
    const Refusal& refusal = snapshot.error();
    log::error("update {} is refused whole, the state before it stays: {}", ack.version(), describe(refusal));
    ack.set_refused(true);
    ack.mutable_object()->set_kind(static_cast<v1::ResourceKind>(refusal.kind));
    ack.mutable_object()->set_name(refusal.name);
    ack.set_error(refusal.text);
  } else {
    events_.on_snapshot(*snapshot);
  }
  connection.send(answer);
}

void AgentLink::local_pod(const mesh::v1::FromAgent& message, std::vector<Fd>& descriptors) {
  const v1::LocalPod& from = message.local_pod();
  const size_t expected = size_t{1} + from.outbound_listeners() + from.inbound_listeners();
  const auto port = [](uint32_t number) { return static_cast<uint16_t>(std::min<uint32_t>(number, 65535)); };
  if (descriptors.size() != expected || from.uid().empty() || from.listener_port() == 0) {
    // Not answered with PodAccepting, so the agent does not capture it.
    const std::string text = fmt::format("pod '{}' came with {} descriptors instead of {}, listener port {}",
                                         from.uid(), descriptors.size(), expected, from.listener_port());
    log::error("{}; it is not taken", text);
    const std::lock_guard lock(status_mutex_);
    status_.last_error = text;
    return;
  }
  LocalPod pod;
  pod.uid = from.uid();
  pod.identity = from.identity();
  pod.listener_port = port(from.listener_port());
  pod.local_port_first = port(from.local_port_first());
  pod.local_port_last = port(from.local_port_last());
  pod.network_namespace = std::move(descriptors[0]);
  const auto outbound_end = descriptors.begin() + 1 + from.outbound_listeners();
  std::move(descriptors.begin() + 1, outbound_end, std::back_inserter(pod.outbound));
  std::move(outbound_end, descriptors.end(), std::back_inserter(pod.inbound));
  events_.on_local_pod(std::move(pod));
}

void AgentLink::answered(const std::string& identity) {
  const std::lock_guard lock(outbox_->mutex);
  outbox_->certificates.erase(identity);
}

// Moves what other threads posted to the socket's queue.
void AgentLink::drain_outbox(Connection& connection) {
  std::deque<std::string> waiting;
  std::vector<v1::FromProxy> requests;
  {
    const std::lock_guard lock(outbox_->mutex);
    waiting.swap(outbox_->waiting);
    for (const std::string& identity : std::exchange(outbox_->asked_anew, {})) {
      const auto found = outbox_->certificates.find(identity);
      if (found == outbox_->certificates.end()) continue;
      v1::CertificateRequest& request = *requests.emplace_back().mutable_certificate_request();
      request.set_identity(identity);
      request.set_csr(found->second);
    }
  }
  for (const std::string& message : waiting) {
    if (connection.broken) break;
    if (const Status queued = connection.socket.queue(message); !queued) connection.broken = queued.error();
  }
  for (const v1::FromProxy& request : requests) connection.send(request);
}

void AgentLink::lost(const Error& error) {
  const std::lock_guard lock(status_mutex_);
  // The reasons' sentences speak of connections between proxies; the detail is what fits here.
  std::string text = error.detail ? *error.detail : error.describe();
  if (error.detail && error.os_code != 0) text += fmt::format(" ({})", std::strerror(error.os_code));
  // Said once for a row of attempts that fail alike.
  if (status_.connected || status_.last_error != text) {
    log::warn("no agent at {}: {}; traffic goes on with the last state", socket_path_, text);
  }
  status_.connected = false;
  status_.last_error = text;
}

// False when it is time to end.
bool AgentLink::wait_before_retry(uint32_t attempt) {
  static thread_local std::mt19937 random{std::random_device{}()};
  const auto most = std::min<Clock::duration>(kRetryMost, kRetryFirst * (1U << std::min(attempt, 10U)));
  // Half of it and a random part of the other half: the proxies of a machine do not all knock at once.
  const auto until =
      Clock::now() + most / 2 + most / 2 * std::uniform_int_distribution<int>(0, 100)(random) / 100;
  while (!outbox_->stopping && Clock::now() < until) {
    pollfd polled = {outbox_->wake.get(), POLLIN, 0};
    if (::poll(&polled, 1, poll_ms(std::min<Clock::duration>(until - Clock::now(), kTick))) > 0)
      outbox_->silence();
    events_.on_tick();
  }
  return !outbox_->stopping;
}

void AgentLink::stop() {
  outbox_->stopping = true;
  outbox_->ring();
}

void AgentLink::post(std::string message) {
  {
    const std::lock_guard lock(outbox_->mutex);
    if (outbox_->waiting.size() >= kWaitingMax) outbox_->waiting.pop_front();
    outbox_->waiting.push_back(std::move(message));
  }
  outbox_->ring();
}

void AgentLink::request_certificate(const std::string& identity, const std::string& csr_der) {
  {
    const std::lock_guard lock(outbox_->mutex);
    outbox_->certificates[identity] = csr_der;
    outbox_->asked_anew.push_back(identity);
  }
  outbox_->ring();
}

void AgentLink::pod_accepting(const std::string& uid) {
  v1::FromProxy message;
  message.mutable_pod_accepting()->set_uid(uid);
  post(message.SerializeAsString());
}

void AgentLink::pod_released(const std::string& uid) {
  v1::FromProxy message;
  message.mutable_pod_released()->set_uid(uid);
  post(message.SerializeAsString());
}

AgentStatus AgentLink::status() const {
  const std::lock_guard lock(status_mutex_);
  return status_;
}

}  // namespace weir::config

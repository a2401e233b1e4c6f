// The conversation with one proxy. See proxy_link.h.
#include "agent/serve/proxy_link.h"

#include <fmt/format.h>
#include <poll.h>

#include <algorithm>
#include <utility>

#include "nodeproxy/base/log.h"
#include "nodeproxy/config/mesh.pb.h"

namespace weir::agent {

namespace pb = weir::mesh::v1;

namespace {

constexpr uint32_t kSchemaLevel = 1;
constexpr auto kHelloWait = std::chrono::seconds(10);

}  // namespace

ProxyLink::ProxyLink(Loop& loop, Fd socket, Options options, const ProxyEvents& events)
    : loop_(loop),
      socket_(std::move(socket)),
      options_(std::move(options)),
      events_(events),
      sync_(std::make_unique<Sync>(options_.last_good, options_.version_floor)) {
  loop_.watch(socket_.fd(), POLLIN, [this](short happened) { on_socket(happened); });
  hello_timer_ = loop_.after(kHelloWait, [this] { close("no Hello within 10 s"); });
}

ProxyLink::~ProxyLink() {
  loop_.cancel(hello_timer_);
  loop_.cancel(gone_timer_);
  if (!closed_) loop_.unwatch(socket_.fd());
}

void ProxyLink::close(const std::string& why) {
  if (closed_) return;
  closed_ = true;
  loop_.cancel(hello_timer_);
  loop_.unwatch(socket_.fd());
  socket_ = MessageSocket();
  gone_timer_ = loop_.after(std::chrono::milliseconds(0), [this, why] { events_.on_gone(*this, why); });
}

void ProxyLink::on_socket(short happened) {
  if ((happened & POLLOUT) != 0) flush();
  if ((happened & (POLLIN | POLLHUP | POLLERR)) == 0) return;
  while (!closed_) {
    auto message = socket_.receive();
    if (!message) return close(message.error().describe());
    if (!*message) return;
    handle(std::move(**message));
  }
}

void ProxyLink::handle(MessageSocket::Message received) {
  pb::FromProxy message;
  if (!message.ParseFromString(received.bytes)) return close("a message that is no FromProxy");
  if (!said_hello_ && message.message_case() != pb::FromProxy::kHello)
    return close("its first message is no Hello");
  switch (message.message_case()) {
    case pb::FromProxy::kHello: return handle_hello(message);
    case pb::FromProxy::kAck: {
      const auto outcome = sync_->acked(message.ack());
      events_.on_ack(*this, outcome);
      // Refused or applied: what the proxy had of an earlier agent has been said before it.
      if (!synced_ && outcome.applied) {
        synced_ = true;
        events_.on_synced(*this);
      }
      return send_update();
    }
    case pb::FromProxy::kCertificateRequest:
      return events_.on_certificate_request(*this, message.certificate_request().identity(),
                                            message.certificate_request().csr());
    case pb::FromProxy::kPodAccepting: return events_.on_pod_accepting(*this, message.pod_accepting().uid());
    case pb::FromProxy::kPodReleased: return events_.on_pod_released(*this, message.pod_released().uid());
    case pb::FromProxy::kOldListeners: return handle_old_listeners(message, std::move(received.descriptors));
    case pb::FromProxy::MESSAGE_NOT_SET: break;  // of a newer proxy: it was told our level
  }
}

void ProxyLink::handle_hello(const pb::FromProxy& message) {
  if (said_hello_) return close("a second Hello");
  const pb::Hello& hello = message.hello();
  if (hello.schema_level() < kSchemaLevel) {
    return close(
        fmt::format("its schema level is {}, this agent speaks {}", hello.schema_level(), kSchemaLevel));
  }
  said_hello_ = true;
  loop_.cancel(std::exchange(hello_timer_, 0));
  program_version_ = hello.version();
  workers_ = hello.workers();
  // Versions rise for this proxy even if the agent it knew counted further.
  sync_ =
      std::make_unique<Sync>(options_.last_good, std::max(options_.version_floor, hello.applied_version()));
  events_.on_hello(*this);
  if (closed_) return;
  pb::FromAgent welcome;
  welcome.mutable_welcome()->set_schema_level(kSchemaLevel);
  welcome.mutable_welcome()->set_node(options_.node);
  welcome.mutable_welcome()->set_agent_version(WEIR_VERSION);
  send(welcome);
  if (wanted_) sync_->want(wanted_);
  send_update();
}

void ProxyLink::handle_old_listeners(const pb::FromProxy& message, std::vector<Fd> descriptors) {
  const pb::OldListeners& old = message.old_listeners();
  const size_t outbound = old.outbound_listeners(), inbound = old.inbound_listeners();
  if (outbound == 0 || inbound == 0 || outbound > descriptors.size() || inbound > descriptors.size() ||
      descriptors.size() != 1 + outbound + inbound || old.listener_port() > 65535) {
    return close("OldListeners whose descriptors do not match its counts");
  }
  GivenBack given{old.uid(), static_cast<uint16_t>(old.listener_port()), std::move(descriptors[0]), {}, {}};
  for (size_t i = 1; i < descriptors.size(); ++i) {
    (i <= outbound ? given.outbound : given.inbound).push_back(std::move(descriptors[i]));
  }
  events_.on_old_listeners(*this, std::move(given));
}

void ProxyLink::want(std::shared_ptr<const Resources> wanted) {
  wanted_ = std::move(wanted);
  if (!said_hello_ || closed_) return;
  sync_->want(wanted_);
  send_update();
}

void ProxyLink::send_update() {
  if (closed_) return;
  if (const auto bytes = sync_->next()) send_bytes(*bytes, {});
}

bool ProxyLink::send_pod(const PodDescriptors& pod) {
  pb::FromAgent message;
  pb::LocalPod& out = *message.mutable_local_pod();
  out.set_uid(pod.uid);
  out.set_outbound_listeners(static_cast<uint32_t>(pod.outbound.size()));
  out.set_inbound_listeners(static_cast<uint32_t>(pod.inbound.size()));
  out.set_listener_port(pod.listener_port);
  out.set_identity(pod.identity);
  out.set_local_port_first(pod.local_port_first);
  out.set_local_port_last(pod.local_port_last);
  std::vector<int> descriptors{pod.netns};
  descriptors.insert(descriptors.end(), pod.outbound.begin(), pod.outbound.end());
  descriptors.insert(descriptors.end(), pod.inbound.begin(), pod.inbound.end());
  return send(message, descriptors);
}

bool ProxyLink::send_pod_gone(const std::string& uid, bool removed) {
  pb::FromAgent message;
  message.mutable_local_pod_gone()->set_uid(uid);
  message.mutable_local_pod_gone()->set_removed(removed);
  return send(message);
}

bool ProxyLink::send_certificate(const std::string& identity, const std::vector<std::string>& chain) {
  pb::FromAgent message;
  message.mutable_certificate()->set_identity(identity);
  for (const auto& certificate : chain) message.mutable_certificate()->add_chain(certificate);
  return send(message);
}

bool ProxyLink::send_certificate_refused(const std::string& identity, const std::string& why, bool retry) {
  pb::FromAgent message;
  message.mutable_certificate_refused()->set_identity(identity);
  message.mutable_certificate_refused()->set_error(why);
  message.mutable_certificate_refused()->set_retry(retry);
  return send(message);
}

bool ProxyLink::send(const pb::FromAgent& message, const std::vector<int>& descriptors) {
  return send_bytes(message.SerializeAsString(), descriptors);
}

bool ProxyLink::send_bytes(const std::string& bytes, const std::vector<int>& descriptors) {
  if (closed_) return false;
  if (const auto queued = socket_.queue(bytes, descriptors); !queued) {
    close(queued.error().describe());
    return false;
  }
  flush();
  return !closed_;
}

void ProxyLink::flush() {
  if (closed_) return;
  const auto flushed = socket_.flush();
  if (!flushed) return close(flushed.error().describe());
  loop_.set_events(socket_.fd(), static_cast<short>(*flushed ? POLLIN : POLLIN | POLLOUT));
}

}  // namespace weir::agent

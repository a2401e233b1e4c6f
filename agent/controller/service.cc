// Calls, streams, and ending them in order. See service.h.
#include "agent/controller/service.h"

#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_credentials_options.h>

#include <utility>

#include "nodeproxy/base/log.h"

namespace weir::agent::controller {
namespace {

constexpr unsigned kCertificateCheckSeconds = 1;
constexpr int kMessageBytesMax = 64 * 1024;
// Agents spread over the replicas again after a restart of one; and a stream's token is judged again.
constexpr int kConnectionAgeMs = 30 * 60 * 1000, kConnectionGraceMs = 30 * 1000;
constexpr int kKeepAliveMs = 30 * 1000, kKeepAliveTimeoutMs = 10 * 1000, kPingIntervalMinMs = 10 * 1000;
constexpr int kStreamsMax = 1000;  // of one agent: a request for each of its identities, at once

std::string token_of(const grpc::CallbackServerContext& context) {
  constexpr std::string_view kBearer = "Bearer ";
  const auto found = context.client_metadata().equal_range("authorization");
  if (found.first == found.second || std::next(found.first) != found.second) return "";
  const std::string_view value(found.first->second.data(), found.first->second.size());
  return value.starts_with(kBearer) ? std::string(value.substr(kBearer.size())) : "";
}

grpc::Status status_of(const Refusal& refusal) {
  return {static_cast<grpc::StatusCode>(refusal.code), refusal.sentence};
}

const char* word_of(Refusal::Code code) {
  switch (code) {
    case Refusal::Code::invalid_argument: return "invalid_argument";
    case Refusal::Code::permission_denied: return "permission_denied";
    case Refusal::Code::resource_exhausted: return "resource_exhausted";
    case Refusal::Code::unauthenticated: return "unauthenticated";
    case Refusal::Code::unavailable: break;
  }
  return "unavailable";
}

grpc::Status leaving() { return {grpc::StatusCode::UNAVAILABLE, "this replica of the controller ends"}; }

}  // namespace

// One agent's stream. Everything but gRPC's four calls happens on the loop.
class Service::Stream final : public grpc::ServerWriteReactor<ca::v1::TrustBundle> {
 public:
  Stream(Service& service, uint64_t id) : service_(service), id_(id) {}
  uint64_t id() const { return id_; }

  void push() {
    if (ended_ || !admitted_) return;
    if (std::exchange(writing_, true)) {
      again_ = true;
      return;
    }
    sent_ = service_.bundle_;
    StartWrite(&sent_);
  }
  void admit() {
    admitted_ = true;
    if (service_.bundle_.version() != 0) push();
  }
  void end(grpc::Status status) {
    if (!std::exchange(ended_, true)) Finish(std::move(status));
  }

 private:
  void OnWriteDone(bool ok) override {
    service_.loop_.post([this, ok] {
      writing_ = false;
      if (!ok) return end(leaving());
      if (std::exchange(again_, false)) push();
    });
  }
  void OnCancel() override {
    service_.loop_.post([this] { end(grpc::Status::CANCELLED); });
  }
  void OnDone() override {
    service_.loop_.post([this] { service_.closed(id_); });
  }

  Service& service_;
  const uint64_t id_;
  ca::v1::TrustBundle sent_;  // while it is written
  bool admitted_ = false, writing_ = false, again_ = false, ended_ = false;
};

Service::Service(Loop& loop, Desk& desk, Metrics& metrics) : loop_(loop), desk_(desk), metrics_(metrics) {}

Service::~Service() {
  if (shutdown_.joinable()) shutdown_.join();
}

Status Service::start(const std::string& address, const std::string& certificate_path) {
  namespace tls = grpc::experimental;
  tls::TlsServerCredentialsOptions options(std::make_shared<tls::FileWatcherCertificateProvider>(
      certificate_path, certificate_path, kCertificateCheckSeconds));
  options.watch_identity_key_cert_pairs();
  options.set_cert_request_type(GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE);
  grpc::ServerBuilder builder;
  builder.AddListeningPort(address, tls::TlsServerCredentials(options), &port_);
  builder.SetMaxReceiveMessageSize(kMessageBytesMax);
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_MS, kConnectionAgeMs);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_GRACE_MS, kConnectionGraceMs);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kStreamsMax);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepAliveMs);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepAliveTimeoutMs);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, kPingIntervalMinMs);
  builder.RegisterService(this);
  server_ = builder.BuildAndStart();
  if (!server_ || port_ == 0) {
    return fail(Source::config, Reason::bad_config, "--listen " + address + " cannot be bound");
  }
  return {};
}

void Service::set_bundle(uint64_t version, const std::vector<std::string>& roots) {
  if (bundle_.version() == version) return;
  bundle_.set_version(version);
  bundle_.clear_root_der();
  for (const auto& root : roots) bundle_.add_root_der(root);
  for (const auto& [id, stream] : streams_) stream->push();
}

void Service::stop(std::chrono::seconds grace, std::function<void()> stopped) {
  stopping_ = true;
  for (const auto& [id, stream] : streams_) stream->end(leaving());
  if (!server_) return stopped();
  // It blocks until the last call has ended, for which the loop must turn.
  shutdown_ = std::thread([this, grace, stopped = std::move(stopped)]() mutable {
    server_->Shutdown(std::chrono::system_clock::now() + grace);
    server_->Wait();
    loop_.post(std::move(stopped));
  });
}

grpc::ServerUnaryReactor* Service::Sign(grpc::CallbackServerContext* context,
                                        const ca::v1::SignRequest* request, ca::v1::SignAnswer* answer) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  loop_.post([this, reactor, answer, token = token_of(*context), identity = request->identity(),
              csr = request->csr_der()] {
    desk_.sign(token, identity, csr, [this, reactor, answer](Desk::Signed issued) {
      const char* result = issued ? "signed" : word_of(issued.error().code);
      metrics_.add("weir_controller_sign_requests_total", 1, {{"result", result}});
      if (!issued) return reactor->Finish(status_of(issued.error()));
      for (auto& der : issued->chain) answer->add_chain_der(std::move(der));
      answer->set_not_after(issued->not_after);
      reactor->Finish(grpc::Status::OK);
    });
  });
  return reactor;
}

grpc::ServerWriteReactor<ca::v1::TrustBundle>* Service::Trust(grpc::CallbackServerContext* context,
                                                              const ca::v1::TrustRequest*) {
  auto* stream = new Stream(*this, next_stream_++);  // the loop's from opened() to closed()
  loop_.post([this, stream, token = token_of(*context)] { opened(stream, token); });
  return stream;
}

void Service::opened(Stream* stream, const std::string& token) {
  const uint64_t id = stream->id();
  streams_.emplace(id, stream);
  metrics_.set("weir_controller_trust_streams", static_cast<double>(streams_.size()));
  if (stopping_) return stream->end(leaving());
  desk_.authenticate(token, [this, id](const CallerOrRefusal& caller) {
    const auto found = streams_.find(id);
    if (found == streams_.end()) return;  // gone while its token was reviewed
    if (!caller) return found->second->end(status_of(caller.error()));
    log::debug("node {} follows the trust bundle", caller->node);
    found->second->admit();
  });
}

void Service::closed(uint64_t id) {
  streams_.erase(id);
  metrics_.set("weir_controller_trust_streams", static_cast<double>(streams_.size()));
}

}  // namespace weir::agent::controller

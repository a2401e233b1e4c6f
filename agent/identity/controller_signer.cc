// Calls, the stream, and which bundle counts. See controller_signer.h.
#include "agent/identity/controller_signer.h"

#include <fmt/format.h>
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <utility>

#include "agent/controller/ca.grpc.pb.h"
#include "agent/identity/authority.h"
#include "agent/loop/files.h"
#include "nodeproxy/base/log.h"

namespace weir::agent {
namespace {

constexpr int kReconnectFirstMs = 200, kReconnectMaxMs = 5000;
constexpr int kKeepAliveMs = 30'000, kKeepAliveTimeoutMs = 10'000;

std::string words(const grpc::Status& status) {
  return fmt::format("{} ({})", status.error_message(), static_cast<int>(status.error_code()));
}

void authorize(grpc::ClientContext& context, const std::string& token) {
  context.AddMetadata("authorization", "Bearer " + token);
}

}  // namespace

struct ControllerSigner::Gate {
  std::mutex mutex;
  std::condition_variable empty;
  int inside = 0;

  void enter() {
    const std::lock_guard lock(mutex);
    ++inside;
  }
  void leave() {  // the caller touches nothing of the signer afterwards
    const std::lock_guard lock(mutex);
    if (--inside == 0) empty.notify_all();
  }
  void wait() {
    std::unique_lock lock(mutex);
    empty.wait(lock, [this] { return inside == 0; });
  }
};

struct ControllerSigner::Rpc {
  std::shared_ptr<grpc::Channel> channel;
  std::unique_ptr<ca::v1::CertificateAuthority::Stub> stub;
};

struct ControllerSigner::Call {
  grpc::ClientContext context;
  ca::v1::SignRequest request;
  ca::v1::SignAnswer answer;
  Done done;
};

// One Trust stream: every bundle is posted, and its end. Holds itself until gRPC is done with it.
class ControllerSigner::Follow final : public grpc::ClientReadReactor<ca::v1::TrustBundle> {
 public:
  Follow(ControllerSigner& signer, const std::string& token)
      : signer_(signer), gate_(*signer.gate_), loop_(signer.loop_), alive_(signer.alive_) {
    authorize(context_, token);
    gate_.enter();
  }
  void start(std::shared_ptr<Follow> self) {
    self_ = std::move(self);
    signer_.rpc_->stub->async()->Trust(&context_, &request_, this);
    StartRead(&bundle_);
    StartCall();
  }
  void cancel() { context_.TryCancel(); }

 private:
  void OnReadDone(bool ok) override {
    if (!ok) return;
    KeptBundle news{bundle_.version(), {bundle_.root_der().begin(), bundle_.root_der().end()}};
    loop_.post([&signer = signer_, alive = alive_, self = this, news = std::move(news)]() mutable {
      if (alive.expired() || signer.follow_.get() != self) return;
      signer.trouble_.clear();
      signer.backoff_ = signer.options_.backoff_first;
      signer.adopt(std::move(news));
    });
    had_news_ = true;
    StartRead(&bundle_);
  }
  void OnDone(const grpc::Status& status) override {
    loop_.post([&signer = signer_, alive = alive_, self = this, had_news = had_news_, why = words(status)] {
      if (alive.expired() || signer.follow_.get() != self) return;
      signer.follow_.reset();
      signer.follow_ended(had_news, why);
    });
    Gate& gate = gate_;
    const auto last = std::move(self_);  // the loop may still hold it, to cancel
    gate.leave();
  }

  ControllerSigner& signer_;  // only on its loop, and while alive_
  Gate& gate_;
  Loop& loop_;
  std::weak_ptr<bool> alive_;
  grpc::ClientContext context_;
  ca::v1::TrustRequest request_;
  ca::v1::TrustBundle bundle_;
  bool had_news_ = false;
  std::shared_ptr<Follow> self_;
};

ControllerSigner::ControllerSigner(Loop& loop, ControllerSignerOptions options, Fetch fetch,
                                   std::function<void()> changed)
    : loop_(loop),
      options_(std::move(options)),
      fetch_(std::move(fetch)),
      changed_(std::move(changed)),
      backoff_(options_.backoff_first),
      gate_(std::make_unique<Gate>()),
      alive_(std::make_shared<bool>(true)) {}

ControllerSigner::~ControllerSigner() {
  alive_.reset();
  loop_.cancel(timer_);
  if (follow_) follow_->cancel();
  for (const auto& call : calls_) call->context.TryCancel();
  gate_->wait();
}

Result<std::unique_ptr<ControllerSigner>> ControllerSigner::open(Loop& loop, ControllerSignerOptions options,
                                                                 Fetch fetch, std::function<void()> changed) {
  auto kept = read_kept_bundle(options.bundle_file);
  if (!kept) return std::unexpected(kept.error());
  std::unique_ptr<ControllerSigner> signer(
      new ControllerSigner(loop, std::move(options), std::move(fetch), std::move(changed)));
  signer->bundle_ = std::move(*kept);
  if (signer->bundle_.version != 0) {
    log::info("trust bundle version {} of the last run counts until a newer comes", signer->bundle_.version);
    signer->connect();
    signer->follow();
  }
  signer->look_up_roots();
  return signer;
}

Result<std::string> ControllerSigner::token() const {
  auto text = read_small_file(options_.token_file);
  if (!text) return text;
  while (!text->empty() && (text->back() == '\n' || text->back() == ' ')) text->pop_back();
  if (text->empty())
    return fail(Source::agent, Reason::bad_config, options_.token_file.string() + " is empty");
  return text;
}

// Anew with each bundle: what a connection was verified by must be what is trusted now.
void ControllerSigner::connect() {
  const auto pem = pem_of(bundle_.roots);
  if (!pem) return log::error("the trust bundle: {}", pem.error().describe());
  grpc::ChannelArguments arguments;
  arguments.SetSslTargetNameOverride(options_.server_name);
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, kReconnectFirstMs);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, kReconnectFirstMs);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, kReconnectMaxMs);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepAliveMs);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepAliveTimeoutMs);
  grpc::SslCredentialsOptions credentials;
  credentials.pem_root_certs = *pem;
  rpc_ = std::make_unique<Rpc>();
  rpc_->channel = grpc::CreateCustomChannel(options_.address, grpc::SslCredentials(credentials), arguments);
  rpc_->stub = ca::v1::CertificateAuthority::NewStub(rpc_->channel);
}

void ControllerSigner::follow() {
  if (follow_) std::exchange(follow_, nullptr)->cancel();
  loop_.cancel(std::exchange(timer_, 0));
  const auto now = token();
  if (!now) return follow_ended(false, now.error().describe());
  follow_ = std::make_shared<Follow>(*this, *now);
  follow_->start(follow_);
}

void ControllerSigner::follow_ended(bool had_news, const std::string& why) {
  if (!had_news && trouble_ != why) log::warn("the controller's trust bundle cannot be followed: {}", why);
  trouble_ = why;
  loop_.cancel(timer_);
  timer_ = loop_.after(backoff_, [this] {
    timer_ = 0;
    follow();
  });
  backoff_ = std::min(2 * backoff_, options_.backoff_max);
  // It may be that the root was changed while nobody told us, and the controller's certificate is of the new one.
  if (!had_news) look_up_roots();
}

void ControllerSigner::look_up_roots() {
  if (!fetch_ || std::exchange(fetching_, true)) return;
  fetch_([this, alive = std::weak_ptr(alive_)](Result<KeptBundle> published) {
    if (alive.expired()) return;
    fetching_ = false;
    if (published) {
      adopt(std::move(*published));
    } else if (bundle_.version == 0) {
      log::warn("no trust bundle yet: {}", published.error().describe());
    }
    if (bundle_.version != 0 || timer_ != 0) return;
    timer_ = loop_.after(backoff_, [this] {
      timer_ = 0;
      look_up_roots();
    });
    backoff_ = std::min(2 * backoff_, options_.backoff_max);
  });
}

void ControllerSigner::adopt(KeptBundle bundle) {
  if (bundle.version <= bundle_.version || bundle.roots.empty()) return;
  const bool same = bundle.roots == bundle_.roots;
  bundle_ = std::move(bundle);
  if (auto ok = keep_bundle(options_.bundle_file, bundle_); !ok)
    log::error("the trust bundle cannot be kept on disk: {}", ok.error().describe());
  if (same) return;
  log::info("trust bundle version {}: {} roots", bundle_.version, bundle_.roots.size());
  connect();
  follow();
  changed_();
}

void ControllerSigner::sign(const std::string& identity, const std::string& csr, Done done) {
  const auto now = token();
  if (!now) return done(std::unexpected(now.error()));
  if (!rpc_) {
    return done(fail(Source::agent, Reason::certificate_untrusted,
                     "there is no trust bundle yet to know the controller by: is weir-controller running?"));
  }
  const auto call = std::make_shared<Call>();
  call->context.set_deadline(std::chrono::system_clock::now() + options_.sign_timeout);
  authorize(call->context, *now);
  call->request.set_identity(identity);
  call->request.set_csr_der(csr);
  call->done = std::move(done);
  calls_.insert(call);
  gate_->enter();
  rpc_->stub->async()->Sign(
      &call->context, &call->request, &call->answer,
      [this, call, &loop = loop_, &gate = *gate_, alive = std::weak_ptr(alive_)](grpc::Status status) {
        loop.post([this, call, alive, status = std::move(status)] {
          if (alive.expired()) return;
          calls_.erase(call);
          if (!status.ok()) {
            const bool ours = status.error_code() == grpc::StatusCode::INVALID_ARGUMENT;
            return call->done(fail(ours ? Source::peer : Source::agent, Reason::certificate_untrusted,
                                   "the controller does not sign: " + words(status)));
          }
          IssuedCertificate issued{{call->answer.chain_der().begin(), call->answer.chain_der().end()},
                                   call->answer.not_after()};
          if (issued.chain.empty())
            return call->done(
                fail(Source::agent, Reason::certificate_malformed, "the controller sent no chain"));
          call->done(std::move(issued));
        });
        gate.leave();
      });
}

}  // namespace weir::agent

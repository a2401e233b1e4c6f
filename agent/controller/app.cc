// Starting, the rounds of Lease and root, and what follows from them. See app.h.
#include "agent/controller/app.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <ctime>
#include <utility>

#include "nodeproxy/base/log.h"

namespace weir::agent::controller {
namespace {

constexpr auto kRootCheckSoon = std::chrono::seconds(1);  // while there is none
constexpr auto kListTimeout = std::chrono::seconds(60);
constexpr auto kStopGrace = std::chrono::seconds(3);
constexpr auto kOwnLife = std::chrono::hours(24);  // of the server's certificate

int64_t unix_now() { return std::time(nullptr); }

// As Kubernetes' MicroTime: 2026-01-02T03:04:05.000006Z.
std::string rfc3339_micro() {
  const auto now = std::chrono::floor<std::chrono::microseconds>(std::chrono::system_clock::now());
  const auto seconds = std::chrono::floor<std::chrono::seconds>(now);
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:06}Z",
                     fmt::gmtime(std::chrono::system_clock::to_time_t(seconds)), (now - seconds).count());
}

// Lists of a large cluster take their time.
kube::ClientOptions watching(kube::ClientOptions options) {
  options.request_timeout = kListTimeout;
  return options;
}

}  // namespace

ControllerApp::ControllerApp(Loop& loop, ControllerOptions options)
    : loop_(loop),
      options_(std::move(options)),
      watches_(loop, watching(options_.kube)),
      client_(loop, options_.kube) {
  RootKeeper::Options root{.make_root = !options_.bring_root,
                           .overlap = options_.root_overlap,
                           .signing_delay = options_.signing_delay,
                           .made_by = options_.identity};
  if (root.overlap.count() == 0) root.overlap = 2 * options_.certificate_life;
  settings_.emplace(options_.trust_domain, ask_api(), [this] { keep_status(); });
  desk_.emplace(Desk::Options{options_.certificate_life},
                Desk::World{ask_api(), [this] { return keeper_->signing(); },
                            [this] { return settings_->trust_domain(); },
                            [] { return std::chrono::steady_clock::now(); }, unix_now});
  keeper_.emplace(root, RootKeeper::World{ask_api(), unix_now, [this] { return lease_->leads(); },
                                          [this] { root_changed(); }});
  lease_.emplace(Lease::Options{.holder = options_.identity}, ask_api(), rfc3339_micro,
                 [this](bool leads) { leadership_changed(leads); });
  service_.emplace(loop_, *desk_, metrics_);
}

ControllerApp::~ControllerApp() = default;

Ask ControllerApp::ask_api() {
  return [this](std::string method, std::string path, std::string type, std::string body,
                kube::Client::Done done) {
    client_.request(std::move(method), std::move(path), std::move(type), std::move(body), std::move(done));
  };
}

void ControllerApp::start() {
  tick_lease();
  tick_root();
}

void ControllerApp::tick_lease() {
  if (stopping_) return;
  lease_->tick(Lease::Clock::now());
  loop_.after(lease_->retry(), [this] { tick_lease(); });
}

void ControllerApp::tick_root() {
  if (stopping_) return;
  settings_->tick();
  keeper_->tick();
  root_changed();  // the certificate's half life, a new root's delay
  refresh_metrics();
  loop_.after(not_ready().empty() ? options_.root_check : kRootCheckSoon, [this] { tick_root(); });
}

void ControllerApp::leadership_changed(bool leads) {
  metrics_.set("weir_controller_leader", leads ? 1 : 0);
  if (leads) {
    log::info("{} is the leader", options_.identity);
    keep_status();
    loop_.after(std::chrono::milliseconds(0), [this] {
      if (!stopping_) keeper_->tick();
    });
  } else {
    log::info("{} is not the leader any more", options_.identity);
    status_.reset();
  }
}

// Begun anew where the trust domain is another.
void ControllerApp::keep_status() {
  status_.reset();
  if (stopping_ || !lease_->leads() || settings_->trust_domain().empty()) return;
  status_.emplace(loop_, watches_, ask_api(), metrics_,
                  StatusKeeper::Options{.trust_domain = settings_->trust_domain()});
}

void ControllerApp::root_changed() {
  const Authority* authority = keeper_->signing();
  if (authority == nullptr || stopping_) return;
  const auto renewed = certificate_.renew(*authority, kOwnLife, unix_now());
  if (!renewed) {
    log::error("the controller's own certificate: {}", renewed.error().describe());
    if (!serving_) return;
  }
  service_->set_bundle(keeper_->published().version, keeper_->published().bundle());
  if (serving_) return;
  if (auto ok = service_->start(options_.listen, certificate_.path()); !ok) {
    failed_ = ok.error();
    return loop_.stop();
  }
  serving_ = true;
  log::info("signs on port {}", service_->port());
}

std::string ControllerApp::not_ready() const {
  if (stopping_) return "it is ending";
  if (settings_->trust_domain().empty()) {
    return settings_->trouble().empty() ? "the mesh's settings have not been read yet" : settings_->trouble();
  }
  if (keeper_->signing() == nullptr) {
    return keeper_->trouble().empty() ? "no root to sign with yet" : keeper_->trouble();
  }
  return serving_ ? "" : "the gRPC port is not open yet";
}

void ControllerApp::refresh_metrics() {
  metrics_.set("weir_controller_ready", not_ready().empty() ? 1 : 0);
  metrics_.set("weir_controller_leader", lease_->leads() ? 1 : 0);
  metrics_.set("weir_controller_root_errors", keeper_->trouble().empty() ? 0 : 1);
  metrics_.set("weir_controller_trust_version", static_cast<double>(keeper_->published().version));
  metrics_.clear("weir_controller_root_not_after_seconds");
  for (const auto& root : keeper_->published().roots) {
    metrics_.set("weir_controller_root_not_after_seconds",
                 static_cast<double>(not_after_of(root.der).value_or(0)),
                 {{"root", root.hash.substr(0, 16)}, {"signs", root.superseded == 0 ? "true" : "false"}});
  }
  if (const Authority* authority = keeper_->signing()) {
    metrics_.set("weir_controller_issuer_not_after_seconds", static_cast<double>(authority->not_after()));
  }
  if (certificate_.not_after() != 0) {
    metrics_.set("weir_controller_certificate_not_after_seconds",
                 static_cast<double>(certificate_.not_after()));
  }
}

void ControllerApp::stop(std::function<void()> done) {
  if (std::exchange(stopping_, true)) return;
  log::info("ending: gives the Lease back and ends calls");
  lease_->release([this, done = std::move(done)] { service_->stop(kStopGrace, done); });
}

}  // namespace weir::agent::controller

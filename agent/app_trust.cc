// Who signs and whom to trust: the embedded CA with its directory, or the cluster's controller. See app.h.
#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "agent/app.h"
#include "agent/identity/authority.h"
#include "nodeproxy/base/log.h"

namespace weir::agent {
namespace {

using Json = nlohmann::json;

constexpr auto kCaRetry = std::chrono::seconds(1);
constexpr const char* kPublishedRoots = "/api/v1/namespaces/weir-system/configmaps/weir-ca-root";

// As agent/controller/published.h writes it.
Result<KeptBundle> read_published_roots(const Result<kube::Answer>& answer) {
  if (!answer) return std::unexpected(answer.error());
  if (answer->status != 200) {
    return fail(Source::agent, Reason::bad_config,
                fmt::format("ConfigMap weir-system/weir-ca-root: status {}", answer->status));
  }
  const Json map = Json::parse(answer->body, nullptr, false);
  const auto text = [&](const char* pointer) {
    const Json::json_pointer at(pointer);
    return map.contains(at) && map[at].is_string() ? map[at].get<std::string>() : "";
  };
  KeptBundle bundle;
  std::istringstream(text("/data/version")) >> bundle.version;
  auto roots = certificates_of_pem(text("/data/ca.pem"));
  if (!roots) return std::unexpected(roots.error());
  bundle.roots = std::move(*roots);
  return bundle;
}

}  // namespace

Status App::open_ca() {
  if (!options_.ca_controller) {
    auto ca =
        EmbeddedCa::open({options_.ca_dir, options_.state_dir / "trust-version", options_.certificate_life});
    if (!ca) return std::unexpected(ca.error());
    ca_ = std::move(*ca);
    trust_ = {ca_->bundle_version(), ca_->bundle()};
    return {};
  }
  ControllerSignerOptions signer;
  signer.address = options_.controller;
  signer.token_file = options_.ca_token;
  signer.bundle_file = options_.state_dir / "trust-bundle.pem";
  ControllerSigner::Fetch fetch;
  if (source_.client) {
    fetch = [this](const ControllerSigner::Fetched& done) {
      source_.client->get(kPublishedRoots,
                          [done](const Result<kube::Answer>& answer) { done(read_published_roots(answer)); });
    };
  }
  auto controller = ControllerSigner::open(loop_, std::move(signer), std::move(fetch), [this] {
    trust_ = {controller_->bundle().version, controller_->bundle().roots};
    derive_again();
  });
  if (!controller) return std::unexpected(controller.error());
  controller_ = std::move(*controller);
  trust_ = {controller_->bundle().version, controller_->bundle().roots};
  return {};
}

Signer& App::signer() {
  if (controller_) return *controller_;
  return *ca_;
}

void App::trust_changed() {
  const auto changed = ca_->reload();
  if (!changed) {
    if (trust_error_ != changed.error().describe()) {
      log::error("trust bundle stays as it is: {}", changed.error().describe());
    }
    trust_error_ = changed.error().describe();
    loop_.after(kCaRetry, [this] { trust_changed(); });
    return;
  }
  trust_error_.clear();
  if (!*changed) return;
  trust_ = {ca_->bundle_version(), ca_->bundle()};
  log::info("trust bundle version {}: {} roots", trust_.version, trust_.roots.size());
  derive_again();
}

}  // namespace weir::agent

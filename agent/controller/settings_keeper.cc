// One reading of the settings. See settings_keeper.h.
#include "agent/controller/settings_keeper.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "agent/files/parse.h"
#include "nodeproxy/base/log.h"

namespace weir::agent::controller {
namespace {

constexpr const char* kSettings = "/api/v1/namespaces/weir-system/configmaps/weir";

}  // namespace

Result<std::string> SettingsKeeper::read(const Result<kube::Answer>& answer) const {
  if (answer && answer->status == 404) return fallback_;
  if (!is_success(answer)) return fail(Source::config, Reason::io, trouble_of(answer));
  const auto object = nlohmann::json::parse(answer->body, nullptr, false);
  Parsed parsed = parse_json("ConfigMap weir-system/weir", object);
  if (parsed.error) return fail(Source::config, Reason::bad_config, parsed.error->reason);
  const auto* settings =
      parsed.objects.size() == 1 ? std::get_if<MeshSettings>(&parsed.objects.front()) : nullptr;
  if (settings == nullptr) return fail(Source::config, Reason::bad_config, "the answer is no ConfigMap");
  return settings->trust_domain.empty() ? fallback_ : settings->trust_domain;
}

void SettingsKeeper::tick() {
  if (std::exchange(under_way_, true)) return;
  ask_("GET", kSettings, "", "", [this](const Result<kube::Answer>& answer) {
    under_way_ = false;
    auto domain = read(answer);
    std::string trouble = domain
                              ? std::string()
                              : "the mesh's settings, ConfigMap weir-system/weir, are left as they were: " +
                                    *domain.error().detail;
    if (trouble != trouble_ && !trouble.empty()) log::error("{}", trouble);
    trouble_ = std::move(trouble);
    if (!domain || *domain == trust_domain_) return;
    trust_domain_ = std::move(*domain);
    log::info("signs for trust domain {}", trust_domain_);
    changed_();
  });
}

}  // namespace weir::agent::controller

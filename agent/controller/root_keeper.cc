// One round of reading Secret and ConfigMap, and the leader's writing. See root_keeper.h.
#include "agent/controller/root_keeper.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "agent/kube/json.h"
#include "nodeproxy/base/log.h"

namespace weir::agent::controller {
namespace {

using Json = nlohmann::json;

constexpr const char* kSecrets = "/api/v1/namespaces/weir-system/secrets";
constexpr const char* kSecret = "/api/v1/namespaces/weir-system/secrets/weir-ca";
constexpr const char* kConfigMaps = "/api/v1/namespaces/weir-system/configmaps";

// A value of the Secret; one that is absent is empty.
Result<std::string> value_of(const Json& secret, const std::string& key) {
  auto value = from_base64(kube::text_member(secret, "/data/" + key));
  if (!value) return fail(Source::config, Reason::bad_config, key + ": " + *value.error().detail);
  return value;
}

}  // namespace

const Authority* RootKeeper::signing() const {
  const int64_t now = world_.unix_now();
  const auto trusted_for = [&](const Authority& authority, int64_t seconds) {
    return std::ranges::all_of(authority.roots, [&](const std::string& der) {
      const PublishedRoot* root = published_.find(der);
      return root != nullptr && now - root->since >= seconds;
    });
  };
  const auto ready = [&](const Authority& authority, int64_t seconds) {
    return authority.not_after() > now && trusted_for(authority, seconds);
  };
  // The newest that everybody has had time to trust; while there is none, the one that has been trusted longest.
  const auto newest = std::find_if(held_.rbegin(), held_.rend(), [&](const Authority& authority) {
    return ready(authority, options_.signing_delay.count());
  });
  if (newest != held_.rend()) return &*newest;
  const auto first =
      std::ranges::find_if(held_, [&](const Authority& authority) { return ready(authority, 0); });
  return first == held_.end() ? nullptr : &*first;
}

void RootKeeper::tick() {
  if (std::exchange(under_way_, true)) return;
  world_.ask("GET", kSecret, "", "", [this](const Result<kube::Answer>& answer) { read_secret(answer); });
}

void RootKeeper::end(std::string trouble) {
  under_way_ = false;
  if (trouble.empty()) trouble = secret_trouble_;
  if (trouble != trouble_ && !trouble.empty()) log::error("{}", trouble);
  if (trouble != trouble_ && trouble.empty()) log::info("the root is well again");
  trouble_ = std::move(trouble);
  // Keys whose root nobody trusts any more.
  if (!published_.roots.empty()) {
    std::erase_if(held_, [&](const Authority& authority) {
      return &authority != &held_.back() &&
             std::ranges::none_of(authority.roots,
                                  [&](const std::string& der) { return published_.find(der) != nullptr; });
    });
  }
  const Authority* now = signing();
  const std::string id = now == nullptr ? "" : now->id;
  if (id == signing_id_ && published_.version == told_version_) return;
  signing_id_ = id;
  told_version_ = published_.version;
  world_.changed();
}

void RootKeeper::read_secret(const Result<kube::Answer>& answer) {
  if (answer && answer->status == 404) {
    secret_version_.clear();
    if (options_.make_root && world_.leads()) return make_secret();
    secret_trouble_ = options_.make_root
                          ? "Secret weir-system/weir-ca is not there yet: the leader makes it"
                          : "Secret weir-system/weir-ca is not there: it is to be brought (--bring-root)";
    return ask_for_published();
  }
  if (!is_success(answer)) return end("Secret weir-system/weir-ca cannot be read: " + trouble_of(answer));
  const auto taken = take_secret(answer->body);
  secret_trouble_ = taken ? "" : "Secret weir-system/weir-ca: " + *taken.error().detail;
  ask_for_published();
}

Status RootKeeper::take_secret(const std::string& body) {
  const Json secret = Json::parse(body, nullptr, false);
  const std::string version = kube::text_member(secret, "/metadata/resourceVersion");
  if (version == secret_version_ && !version.empty() && secret_trouble_.empty()) return {};
  const auto certificate = value_of(secret, "tls.crt"), key = value_of(secret, "tls.key"),
             roots = value_of(secret, "ca.crt");
  for (const auto* value : {&certificate, &key, &roots}) {
    if (!*value) return std::unexpected(value->error());
  }
  auto authority = read_authority(*certificate, *key, *roots, world_.unix_now());
  if (!authority) return std::unexpected(authority.error());
  secret_version_ = version;
  const bool same =
      !held_.empty() && held_.back().id == authority->id && held_.back().roots == authority->roots;
  if (same) return {};
  log::info("Secret weir-system/weir-ca holds another issuer: {}", authority->id.substr(0, 16));
  std::erase_if(held_, [&](const Authority& old) { return old.id == authority->id; });
  held_.push_back(std::move(*authority));
  return {};
}

void RootKeeper::make_secret() {
  if (!published_.roots.empty())
    log::warn(
        "Secret weir-system/weir-ca is gone: a new root is made; the old ones stay trusted for a while");
  const auto root = make_root_pem(root_stamp(world_.unix_now()));
  if (!root) return end(root.error().describe());
  const Json secret{
      {"apiVersion", "v1"},
      {"kind", "Secret"},
      {"type", "kubernetes.io/tls"},
      {"metadata",
       {{"name", "weir-ca"},
        {"namespace", "weir-system"},
        {"annotations", {{"weir.dev/made-by", options_.made_by}}}}},
      {"stringData",
       {{"tls.crt", root->certificate}, {"tls.key", root->key}, {"ca.crt", root->certificate}}}};
  world_.ask("POST", kSecrets, kJson, secret.dump(), [this](Result<kube::Answer> answer) {
    if (is_success(answer)) {
      log::info("made the mesh's root: Secret weir-system/weir-ca");
      const auto taken = take_secret(answer->body);
      secret_trouble_ = taken ? "" : *taken.error().detail;
      return ask_for_published();
    }
    // 409: somebody was quicker, and theirs counts. It is read in the next round.
    end(answer && answer->status == 409 ? ""
                                        : "Secret weir-system/weir-ca cannot be made: " + trouble_of(answer));
  });
}

void RootKeeper::ask_for_published() {
  world_.ask("GET", fmt::format("{}/{}", kConfigMaps, kPublishedName), "", "",
             [this](const Result<kube::Answer>& answer) { read_config_map(answer); });
}

void RootKeeper::read_config_map(const Result<kube::Answer>& answer) {
  if (answer && answer->status == 404) {
    // Lost, perhaps: what was trusted until now is published again, never less.
    published_.resource_version.clear();
  } else if (!is_success(answer)) {
    return end(
        fmt::format("ConfigMap weir-system/{} cannot be read: {}", kPublishedName, trouble_of(answer)));
  } else {
    const Json map = Json::parse(answer->body, nullptr, false);
    auto published = read_published(map);
    if (published) {
      published_ = std::move(*published);
    } else {
      // Broken by somebody: the leader writes it anew over what is there.
      log::error("{}", published.error().describe());
      published_.resource_version = kube::text_member(map, "/metadata/resourceVersion");
      return publish(true);
    }
  }
  publish(published_.resource_version.empty());
}

void RootKeeper::publish(bool anyhow) {
  if (!world_.leads() || held_.empty()) return end("");
  auto wanted = advance(published_, held_.back(), world_.unix_now(), options_.overlap);
  if (!wanted) return end(wanted.error().describe());
  if (wanted->roots == published_.roots && !anyhow) return end("");
  const auto body = config_map_of(*wanted);
  if (!body) return end(body.error().describe());
  const bool is_new = published_.resource_version.empty();
  world_.ask(
      is_new ? "POST" : "PUT",
      is_new ? std::string(kConfigMaps) : fmt::format("{}/{}", kConfigMaps, kPublishedName), kJson, *body,
      [this, wanted = std::move(*wanted)](Result<kube::Answer> answer) mutable {
        if (is_success(answer)) {
          log::info("published the trust bundle, version {}: {} roots", wanted.version, wanted.roots.size());
          auto written = read_published(Json::parse(answer->body, nullptr, false));
          published_ = written ? std::move(*written) : std::move(wanted);
          return end("");
        }
        end(answer && answer->status == 409 ? "" : "the roots cannot be published: " + trouble_of(answer));
      });
}

}  // namespace weir::agent::controller

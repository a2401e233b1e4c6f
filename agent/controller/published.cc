// The ConfigMap of roots and its life. See published.h.
#include "agent/controller/published.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>
#include <utility>

#include "agent/kube/json.h"

namespace weir::agent::controller {
namespace {

using Json = nlohmann::json;

}  // namespace

std::vector<std::string> Published::bundle() const {
  std::vector<std::string> out;
  out.reserve(roots.size());
  for (const auto& root : roots) out.push_back(root.der);
  return out;
}

const PublishedRoot* Published::find(const std::string& der) const {
  const auto found = std::ranges::find(roots, der, &PublishedRoot::der);
  return found == roots.end() ? nullptr : &*found;
}

Result<Published> read_published(const Json& config_map) {
  Published out;
  out.resource_version = kube::text_member(config_map, "/metadata/resourceVersion");
  auto certificates = certificates_of_pem(kube::text_member(config_map, "/data/ca.pem"));
  if (!certificates) {
    return fail(Source::config, Reason::bad_config,
                fmt::format("ConfigMap {}, ca.pem: {}", kPublishedName, *certificates.error().detail));
  }
  std::istringstream(kube::text_member(config_map, "/data/version")) >> out.version;
  std::map<std::string, std::pair<int64_t, int64_t>> written;
  std::istringstream lines(kube::text_member(config_map, "/data/roots"));
  for (std::string hash, line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::pair<int64_t, int64_t> times{0, 0};
    if (words >> hash >> times.first >> times.second) written[hash] = times;
  }
  for (auto& der : *certificates) {
    auto hash = sha256_hex(der);
    if (!hash) return std::unexpected(hash.error());
    const auto times = written[*hash];
    out.roots.push_back({std::move(der), std::move(*hash), times.first, times.second});
  }
  return out;
}

Result<std::string> config_map_of(const Published& published) {
  const auto pem = pem_of(published.bundle());
  if (!pem) return std::unexpected(pem.error());
  std::string roots;
  for (const auto& root : published.roots)
    roots += fmt::format("{} {} {}\n", root.hash, root.since, root.superseded);
  Json map{{"apiVersion", "v1"},
           {"kind", "ConfigMap"},
           {"metadata", {{"name", kPublishedName}, {"namespace", "weir-system"}}},
           {"data", {{"ca.pem", *pem}, {"version", std::to_string(published.version)}, {"roots", roots}}}};
  if (!published.resource_version.empty()) map["metadata"]["resourceVersion"] = published.resource_version;
  return map.dump();
}

Result<Published> advance(const Published& before, const Authority& authority, int64_t now,
                          std::chrono::seconds overlap) {
  Published out = before;
  for (const auto& der : authority.roots) {
    if (out.find(der) != nullptr) continue;
    auto hash = sha256_hex(der);
    if (!hash) return std::unexpected(hash.error());
    out.roots.push_back({der, std::move(*hash), now, 0});
  }
  for (auto& root : out.roots) {
    const bool current = std::ranges::find(authority.roots, root.der) != authority.roots.end();
    if (current) root.superseded = 0;
    if (!current && root.superseded == 0) root.superseded = now;
  }
  std::erase_if(out.roots, [&](const PublishedRoot& root) {
    if (root.superseded == 0) return false;
    return now - root.superseded >= overlap.count() || not_after_of(root.der).value_or(0) <= now;
  });
  if (out.bundle() != before.bundle())
    out.version = std::max<uint64_t>(before.version + 1, static_cast<uint64_t>(now));
  return out;
}

}  // namespace weir::agent::controller

// Manifests as people and programs may write them: YAML → objects → resources. A file is refused whole, in words and
// with the line, or taken whole; what is taken has one name each and derives, twice the same, to tables that point at
// their own rules and to policies whose layer 7 is marked; and the proxy takes all of it.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <set>
#include <string>

#include "agent/derive/derive.h"
#include "agent/files/endpoints.h"
#include "agent/files/parse.h"
#include "nodeproxy/config/build.h"
#include "nodeproxy/config/mesh.pb.h"

namespace {

using namespace weir::agent;
namespace pb = weir::mesh::v1;

void check(bool holds) {
  if (!holds) std::abort();
}

void check_table(const pb::RouteTable& table) {
  check(!table.service().empty());
  for (const auto& match : table.matches()) {
    check(static_cast<int>(match.rule()) < table.rules_size());
    // mesh.proto: prefixes by whole segments, without the last slash.
    const std::string& prefix = match.path_prefix();
    check(prefix.size() <= 1 || prefix.back() != '/');
    if (match.path_case() == pb::RouteMatch::kPathPrefix) check(prefix.front() == '/');
    if (match.path_case() == pb::RouteMatch::kPathExact) check(match.path_exact().front() == '/');
    for (const auto& header : match.headers()) check(header.value_case() != pb::ValueMatch::VALUE_NOT_SET);
  }
  for (const auto& rule : table.rules()) {
    check(!rule.name().empty());
    for (const auto& backend : rule.backends()) check(backend.service().empty() || backend.port() != 0);
    for (const auto& pair : rule.filters().request_headers().set()) {
      check(pair.value().find_first_of("\r\n") == std::string::npos && !pair.name().empty());
    }
  }
}

void check_policy(const pb::Policy& policy) {
  for (const auto& rule : policy.rules()) {
    for (const auto* list : {&rule.from(), &rule.to(), &rule.when()}) {
      for (const auto& match : *list) {
        const bool asks = match.hosts_size() + match.not_hosts_size() + match.methods_size() +
                              match.not_methods_size() + match.paths_size() + match.not_paths_size() +
                              match.grpc_size() + match.not_grpc_size() + match.headers_size() >
                          0;
        check(asks == match.l7());
      }
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // Longer texts find nothing that shorter ones do not.
  if (size > 16 * 1024) return 0;
  Parsed parsed = parse_yaml("f.yaml", std::string(reinterpret_cast<const char*>(data), size));
  if (parsed.error) {
    check(parsed.objects.empty() && !parsed.error->reason.empty() && parsed.error->line >= 0);
    for (const auto& policy : parsed.refused_policies) check(!policy.invalid.empty() && policy.rules.empty());
  }
  Objects objects;
  std::set<std::string> names;
  for (const auto& object : parsed.objects) check(names.insert(describe(object)).second);
  for (const auto& policy : parsed.refused_policies) objects.add(policy);
  for (auto& object : parsed.objects) objects.add(std::move(object));
  add_missing_slices(objects);

  const std::set<std::string> announced;
  const TrustBundle trust{1, {"root"}};
  const Derived derived = derive({objects, "n1", "cluster.local", announced, trust});
  pb::Update update;
  update.set_version(1);
  update.set_full_state(true);
  for (const auto& [id, bytes] : derived.resources) {
    pb::Resource& resource = *update.add_changed();
    check(resource.ParseFromString(bytes));
    if (resource.has_routes()) check_table(resource.routes());
    if (resource.has_policy()) check_policy(resource.policy());
  }
  check(derive({objects, "n1", "cluster.local", announced, trust}).resources == derived.resources);
  weir::config::Builder builder;
  if (const auto applied = builder.apply(update); !applied) {
    std::fprintf(stderr, "%s\n", weir::config::describe(applied.error()).c_str());
    std::abort();
  }
  return 0;
}

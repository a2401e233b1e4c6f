// Updates of mesh.proto, one after the other. An input of choices makes updates from few names and addresses, so that
// they meet; a first byte of 0 takes the rest as updates on the wire instead, each behind its length (two bytes). A
// refused update says why and leaves no trace; after those that were applied, the state is the one that a proxy has that
// was told all of what is left at once.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "nodeproxy/base/log.h"
#include "nodeproxy/config/build.h"
#include "nodeproxy/config/mesh.pb.h"
#include "tests/fuzz/bytes.h"
#include "tests/unit/config/dump.h"

namespace {

using namespace weir;
namespace v1 = mesh::v1;

constexpr std::string_view kNames[] = {"a", "b", "c", ""};
constexpr std::string_view kDomains[] = {"cluster.local", "b.example", "No Domain"};
constexpr std::string_view kNodes[] = {"n1", "n2", ""};
constexpr std::string_view kIdentities[] = {"spiffe://cluster.local/ns/a/sa/b", "", "spiffe://",
                                            "http://a/b"};
constexpr std::string_view kSpaces[] = {"", "a", "b"};

void require(bool holds) {
  if (!holds) std::abort();
}

template <size_t kCount>
std::string one_of(fuzz::Bytes& bytes, const std::string_view (&words)[kCount]) {
  return std::string(bytes.one_of(words));
}

// Four good addresses, two of another family, and one that is none.
std::string address(fuzz::Bytes& bytes) {
  const auto n = static_cast<char>(bytes.below(7));
  if (n == 6) return "abc";
  if (n >= 4) return std::string(15, '\xfd') + n;
  return {10, 0, 0, n};
}

uint32_t port(fuzz::Bytes& bytes) {
  constexpr uint32_t kPorts[] = {80, 443, 8080, 0, 70'000};
  return kPorts[bytes.below(std::size(kPorts))];
}

void fill(fuzz::Bytes& bytes, v1::Mesh& mesh) {
  mesh.set_trust_domain(one_of(bytes, kDomains));
  mesh.set_node(one_of(bytes, kNodes));
}

void fill(fuzz::Bytes& bytes, v1::Workload& workload) {
  workload.set_uid(one_of(bytes, kNames));
  workload.set_node(one_of(bytes, kNodes));
  workload.set_identity(one_of(bytes, kIdentities));
  for (size_t n = bytes.below(3); n > 0; --n) workload.add_addresses(address(bytes));
  for (size_t n = bytes.below(3); n > 0; --n) {
    v1::PolicyBinding& binding = *workload.add_policies();
    binding.set_policy(one_of(bytes, kNames));
    if (bytes.coin()) binding.add_ports(port(bytes));
  }
  workload.set_mode(static_cast<v1::TlsMode>(bytes.below(4)));
  if (bytes.coin()) (*workload.mutable_port_modes())[port(bytes)] = static_cast<v1::TlsMode>(bytes.below(4));
  workload.set_mesh_peer(bytes.coin());
  workload.set_host_network(bytes.below(4) == 0);
}

void fill(fuzz::Bytes& bytes, v1::Service& service) {
  service.set_name(one_of(bytes, kNames));
  for (size_t n = bytes.below(3); n > 0; --n) service.add_addresses(address(bytes));
  for (size_t n = bytes.below(3); n > 0; --n) service.add_ports()->set_port(port(bytes));
  service.set_balancer(static_cast<v1::Balancer>(bytes.below(10)));
}

void fill(fuzz::Bytes& bytes, v1::Endpoints& slice) {
  slice.set_name(one_of(bytes, kNames));
  slice.set_service(one_of(bytes, kNames));
  if (bytes.coin()) slice.add_ports()->set_port(port(bytes));
  for (size_t n = bytes.below(4); n > 0; --n) {
    v1::Endpoint& endpoint = *slice.add_endpoints();
    endpoint.set_address(address(bytes));
    endpoint.set_weight(bytes.byte());
  }
}

void fill(fuzz::Bytes& bytes, v1::Policy& policy) {
  policy.set_name(one_of(bytes, kNames));
  policy.set_action(static_cast<v1::Policy::Action>(bytes.below(4)));
  for (size_t n = bytes.below(3); n > 0; --n) {
    v1::Match& match = *policy.add_rules()->add_from();
    match.add_principals(one_of(bytes, kIdentities));
    if (bytes.coin()) match.add_ip_blocks("10.0.0.0/" + std::to_string(bytes.byte()));
  }
}

void fill(fuzz::Bytes& bytes, v1::Trust& trust) {
  trust.set_domain(one_of(bytes, kDomains));
  trust.set_version(bytes.byte());
  for (size_t n = bytes.below(3); n > 0; --n) trust.add_roots(one_of(bytes, kNames));
}

void fill(fuzz::Bytes& bytes, v1::RouteTable& table) {
  table.set_name(one_of(bytes, kNames));
  table.set_service(one_of(bytes, kNames));
  table.set_consumer_namespace(one_of(bytes, kSpaces));
  for (size_t n = bytes.below(3); n > 0; --n) table.add_rules()->set_name("r");
  for (size_t n = bytes.below(3); n > 0; --n) table.add_matches()->set_rule(bytes.byte() % 3);
}

void fill(fuzz::Bytes& bytes, v1::Resource& resource) {
  switch (bytes.below(8)) {
    case 0: return;  // none at all
    case 1: return fill(bytes, *resource.mutable_mesh());
    case 2: return fill(bytes, *resource.mutable_workload());
    case 3: return fill(bytes, *resource.mutable_service());
    case 4: return fill(bytes, *resource.mutable_endpoints());
    case 5: return fill(bytes, *resource.mutable_policy());
    case 6: return fill(bytes, *resource.mutable_trust());
    default: return fill(bytes, *resource.mutable_routes());
  }
}

v1::Update update(fuzz::Bytes& bytes) {
  v1::Update update;
  update.set_full_state(bytes.below(8) == 0);
  for (size_t n = bytes.below(5); n > 0; --n) fill(bytes, *update.add_changed());
  for (size_t n = bytes.below(3); n > 0; --n) {
    v1::ResourceKey& key = *update.add_removed();
    key.set_kind(static_cast<v1::ResourceKind>(bytes.below(10)));
    key.set_name(one_of(bytes, kNames));
  }
  return update;
}

// What the applied updates have left.
class Left {
 public:
  void apply(const v1::Update& update, const config::Snapshot* before, const config::Snapshot& after) {
    if (update.full_state()) {
      std::erase_if(resources_, [](const auto& entry) { return entry.first.first != v1::MESH; });
    }
    for (const v1::Resource& resource : update.changed()) {
      resources_[key(resource)] = resource;
      if (!resource.has_workload()) continue;
      // Of an address that several say they have, the last to get it has it.
      const std::string& uid = resource.workload().uid();
      const config::Workload* was = before ? before->workload(uid) : nullptr;
      const config::Workload* is = after.workload(uid);
      require(is != nullptr);
      if (was && was->addresses == is->addresses) continue;
      std::erase(acquired_, uid);
      acquired_.push_back(uid);
    }
    for (const v1::ResourceKey& key : update.removed()) resources_.erase({key.kind(), key.name()});
    std::erase_if(acquired_,
                  [&](const std::string& uid) { return !resources_.contains({v1::WORKLOAD, uid}); });
  }

  v1::Update at_once(uint64_t version) const {
    v1::Update all;
    all.set_version(version);
    all.set_full_state(true);
    for (const auto& [key, resource] : resources_)
      if (key.first != v1::WORKLOAD) *all.add_changed() = resource;
    for (const std::string& uid : acquired_) *all.add_changed() = resources_.at({v1::WORKLOAD, uid});
    return all;
  }

 private:
  using Key = std::pair<int, std::string>;
  static Key key(const v1::Resource& resource) {
    // The numbers of Resource's fields and of ResourceKind are the same.
    switch (resource.resource_case()) {
      case v1::Resource::kWorkload: return {v1::WORKLOAD, resource.workload().uid()};
      case v1::Resource::kService: return {v1::SERVICE, resource.service().name()};
      case v1::Resource::kEndpoints: return {v1::ENDPOINTS, resource.endpoints().name()};
      case v1::Resource::kPolicy: return {v1::POLICY, resource.policy().name()};
      case v1::Resource::kTrust: return {v1::TRUST, resource.trust().domain()};
      case v1::Resource::kRoutes: return {v1::ROUTES, resource.routes().name()};
      default: return {v1::MESH, ""};
    }
  }

  std::map<Key, v1::Resource> resources_;
  std::vector<std::string> acquired_;
};

struct Proxy {
  config::Builder builder;
  Left left;

  void tell(const v1::Update& update) {
    const auto before = builder.current();
    const std::string said = before ? config::test::dump(*before) : "";
    const auto applied = builder.apply(update);
    if (!applied) {
      require(!config::describe(applied.error()).empty() && !applied.error().text.empty());
      require(builder.current() == before);
    } else {
      require(builder.current() == *applied && (*applied)->version == update.version());
      left.apply(update, before.get(), **applied);
    }
    // Also what was applied: workers still read the snapshot before.
    require(!before || config::test::dump(*before) == said);
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size > 4096) return 0;
  static const bool quiet = (log::set_level("error"), true);
  static_cast<void>(quiet);
  fuzz::Bytes bytes(data, size);
  Proxy proxy;
  const bool wire = bytes.byte() == 0;
  std::string_view rest = bytes.rest();
  for (uint64_t version = 1; !(wire ? rest.empty() : bytes.empty()); ++version) {
    v1::Update told;
    if (wire) {
      const size_t length =
          rest.size() < 2 ? 0 : static_cast<uint8_t>(rest[0]) * 256u + static_cast<uint8_t>(rest[1]);
      rest.remove_prefix(std::min<size_t>(rest.size(), 2));
      const std::string_view message = rest.substr(0, length);
      rest.remove_prefix(message.size());
      if (!told.ParseFromArray(message.data(), static_cast<int>(message.size()))) continue;
    } else {
      told = update(bytes);
      told.set_version(version - (bytes.below(8) == 0 ? 1 : 0));  // now and then one that does not rise
    }
    proxy.tell(told);
  }
  const auto stepwise = proxy.builder.current();
  if (!stepwise) return 0;
  const v1::Update all = proxy.left.at_once(stepwise->version);
  config::Builder fresh;
  for (config::Builder* builder : {&fresh, &proxy.builder}) {
    const auto whole = builder->apply(all);
    require(whole.has_value());
    require(config::test::dump(**whole) == config::test::dump(*stepwise));
  }
  return 0;
}

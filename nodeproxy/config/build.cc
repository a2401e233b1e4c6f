// The second half of applying an update: references checked against the state as it would be, then the state and a new
// snapshot written. See build.h; commit() cannot fail, so nothing is ever half applied.
#include "nodeproxy/config/build.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "nodeproxy/base/log.h"
#include "nodeproxy/config/edit.h"
#include "nodeproxy/config/mesh.pb.h"
#include "nodeproxy/config/stage.h"

namespace weir::config {
namespace {

// Everything that is in `existing` and not in `staged` goes.
template <typename Existing, typename Value>
void remove_unlisted(const Existing& existing, StagedMap<Value>& staged) {
  for (const auto& [name, ignored] : existing) staged.try_emplace(name, nullptr);
}

// What hangs on a service, anew: a change of one piece copies the service and pointers to the others.
void hang(Service& service, const Attachments<EndpointSlice>& slices, const Attachments<RouteTable>& routes) {
  service.slices.clear();
  service.routes.clear();
  if (const auto* own = slices.of(service.name))
    for (const auto& [ignored, slice] : *own) service.slices.push_back(slice);
  if (const auto* own = routes.of(service.name)) {
    for (const auto& [ignored, table] : *own) service.routes.push_back(table);
    std::stable_partition(service.routes.begin(), service.routes.end(),
                          [](const auto& table) { return !table->consumer_namespace.empty(); });
  }
}

bool local_to(const Workload& workload, const MeshSettings& mesh) {
  return !mesh.node.empty() && workload.node == mesh.node;
}

}  // namespace

struct Builder::State {
  std::shared_ptr<const Snapshot> current;

  // What a snapshot does not hold, or not by this key.
  std::unordered_map<std::string, std::shared_ptr<const Policy>> policies;
  std::unordered_map<std::string, std::unordered_set<std::string>> policy_users;  // policy → workloads
  Attachments<EndpointSlice> slices;  // also of services that are yet to come
  Attachments<RouteTable> routes;     // likewise
  std::unordered_map<std::string, uint64_t>
      acquired;  // workload → when it got its addresses, in a count of ours
  uint64_t acquisitions = 0;
  uint64_t service_revisions = 0;
  AddressLedger workload_addresses, node_addresses, service_addresses;

  void complete_full_state(Staged& staged) const;
  std::optional<Refusal> check(const Staged& staged) const;
  std::optional<Refusal> check_bindings(const Staged& staged) const;

  // One update being written.
  struct Commit {
    explicit Commit(Snapshot& into)
        : next(into),
          workloads(into.workloads_by_uid),
          workloads_at(into.workloads_by_address),
          services(into.services_by_name),
          services_at(into.services_by_address),
          nodes(into.node_addresses) {}
    Snapshot& next;
    ShardEditor<std::string, Workload> workloads;
    ShardEditor<Ip, Workload> workloads_at;
    ShardEditor<std::string, Service> services;
    ShardEditor<Ip, ServicesAtAddress> services_at;
    ShardEditor<Ip, bool> nodes;
  };
  std::shared_ptr<const Snapshot> commit(Staged& staged);
  void commit_rebinding(const Staged& staged, Commit& commit);
  void commit_workload(StagedWorkload& staged, Commit& commit);
  void commit_services(Staged& staged, Commit& commit);
  void commit_locality(Commit& commit);
  void claim(const Workload& workload);
  void give_up(const Workload& workload);
  void settle_addresses(Commit& commit);
  const std::string& owner_of(const Ip& address, const std::vector<std::string>& claimants) const;
};

void Builder::State::complete_full_state(Staged& staged) const {
  remove_unlisted(policies, staged.policies);
  remove_unlisted(slices.names(), staged.slices);
  remove_unlisted(routes.names(), staged.routes);
  if (!current) return;
  remove_unlisted(current->trusts, staged.trusts);
  current->services_by_name.for_each(
      [&](const std::string& name, const Service&) { staged.services.try_emplace(name, nullptr); });
  std::unordered_set<std::string> listed;
  for (const StagedWorkload& workload : staged.workloads) listed.insert(workload.uid);
  current->workloads_by_uid.for_each([&](const std::string& uid, const Workload&) {
    if (!listed.contains(uid)) staged.workloads.push_back({uid, nullptr, {}});
  });
}

std::optional<Refusal> Builder::State::check(const Staged& staged) const {
  if (!staged.full_state && current && staged.version <= current->version) {
    return Refusal{ResourceKind::unspecified, "",
                   fmt::format("version {} does not rise: {} is applied", staged.version, current->version)};
  }
  if (!current && !staged.mesh) {
    return Refusal{ResourceKind::mesh, "", "the first update has no settings of the mesh"};
  }
  return check_bindings(staged);
}

std::optional<Refusal> Builder::State::check_bindings(const Staged& staged) const {
  std::unordered_set<std::string> rebound;
  for (const StagedWorkload& workload : staged.workloads) {
    rebound.insert(workload.uid);
    for (const StagedBinding& binding : workload.bindings) {
      const auto changed = staged.policies.find(binding.policy);
      const bool there =
          changed == staged.policies.end() ? policies.contains(binding.policy) : changed->second != nullptr;
      if (there) continue;
      return Refusal{ResourceKind::workload, workload.uid,
                     fmt::format("is bound by policy '{}', which is not there", binding.policy)};
    }
  }
  for (const auto& [name, policy] : staged.policies) {
    const auto users = policy_users.find(name);
    if (policy || users == policy_users.end()) continue;
    for (const std::string& uid : users->second) {
      if (rebound.contains(uid)) continue;
      return Refusal{ResourceKind::policy, name,
                     fmt::format("is removed, but still binds workload '{}'", uid)};
    }
  }
  return std::nullopt;
}

std::shared_ptr<const Snapshot> Builder::State::commit(Staged& staged) {
  auto next = current ? std::make_shared<Snapshot>(*current) : std::make_shared<Snapshot>();
  Commit commit(*next);
  next->version = staged.version;
  const std::string node_before = next->mesh.node;
  if (staged.mesh) next->mesh = std::move(*staged.mesh);
  for (auto& [domain, trust] : staged.trusts) {
    if (trust) {
      next->trusts[domain] = std::move(trust);
    } else {
      next->trusts.erase(domain);
    }
  }
  for (const auto& [name, policy] : staged.policies) {
    if (policy) {
      policies[name] = policy;
    } else {
      policies.erase(name);
    }
  }
  if (next->mesh.node != node_before) commit_locality(commit);
  for (StagedWorkload& workload : staged.workloads) commit_workload(workload, commit);
  commit_rebinding(staged, commit);
  commit_services(staged, commit);
  settle_addresses(commit);
  current = next;
  return next;
}

// The policies a workload is bound by are held by it, so that the path needs no look-up: a changed policy makes new
// workloads of all it binds and the update itself does not name.
void Builder::State::commit_rebinding(const Staged& staged, Commit& commit) {
  std::unordered_set<std::string> stale;
  for (const auto& [name, policy] : staged.policies) {
    const auto users = policy_users.find(name);
    if (!policy || users == policy_users.end()) continue;
    for (const std::string& uid : users->second) {
      const auto workload = commit.workloads.find(uid);
      const auto held = [&](const PolicyBinding& binding) { return binding.policy == policy; };
      if (std::none_of(workload->policies.begin(), workload->policies.end(), held)) stale.insert(uid);
    }
  }
  for (const std::string& uid : stale) {
    auto changed = std::make_shared<Workload>(*commit.workloads.find(uid));
    for (PolicyBinding& binding : changed->policies) binding.policy = policies.at(binding.policy->name);
    claim(*changed);
    commit.workloads.put(uid, std::move(changed));
  }
}

// The proxy learnt that it is another node's: rare, and then every workload may be local or no longer.
void Builder::State::commit_locality(Commit& commit) {
  std::vector<std::shared_ptr<Workload>> changed;
  commit.next.workloads_by_uid.for_each([&](const std::string&, const Workload& workload) {
    if (workload.local != local_to(workload, commit.next.mesh))
      changed.push_back(std::make_shared<Workload>(workload));
  });
  for (auto& workload : changed) {
    workload->local = !workload->local;
    claim(*workload);
    const std::string uid = workload->uid;
    commit.workloads.put(uid, std::move(workload));
  }
}

void Builder::State::commit_workload(StagedWorkload& staged, Commit& commit) {
  const auto before = commit.workloads.find(staged.uid);
  if (before) {
    give_up(*before);
    for (const PolicyBinding& binding : before->policies) {
      const auto users = policy_users.find(binding.policy->name);
      if (users == policy_users.end()) continue;  // bound twice
      users->second.erase(staged.uid);
      if (users->second.empty()) policy_users.erase(users);
    }
  }
  if (!staged.workload) {
    acquired.erase(staged.uid);
    commit.workloads.erase(staged.uid);
    return;
  }
  Workload& workload = *staged.workload;
  workload.local = local_to(workload, commit.next.mesh);
  for (StagedBinding& binding : staged.bindings) {
    policy_users[binding.policy].insert(staged.uid);
    workload.policies.push_back({policies.at(binding.policy), std::move(binding.ports)});
  }
  if (!before || before->addresses != workload.addresses) acquired[staged.uid] = ++acquisitions;
  claim(workload);
  commit.workloads.put(staged.uid, staged.workload);
}

void Builder::State::commit_services(Staged& staged, Commit& commit) {
  std::set<std::string> affected;
  slices.apply(staged.slices, affected);
  routes.apply(staged.routes, affected);
  for (const auto& [name, service] : staged.services) affected.insert(name);

  for (const std::string& name : affected) {
    const auto before = commit.services.find(name);
    if (before)
      for (const Ip& address : before->addresses) service_addresses.give_up(address, name);
    const auto changed = staged.services.find(name);
    const auto base = changed == staged.services.end() ? before : changed->second;
    if (!base) {
      commit.services.erase(name);
      continue;
    }
    auto service = std::make_shared<Service>(*base);
    service->revision = ++service_revisions;
    hang(*service, slices, routes);
    for (const Ip& address : service->addresses) service_addresses.claim(address, name);
    commit.services.put(name, std::move(service));
  }
}

void Builder::State::claim(const Workload& workload) {
  AddressLedger& ledger = workload.host_network ? node_addresses : workload_addresses;
  for (const Ip& address : workload.addresses) ledger.claim(address, workload.uid);
}

void Builder::State::give_up(const Workload& workload) {
  AddressLedger& ledger = workload.host_network ? node_addresses : workload_addresses;
  for (const Ip& address : workload.addresses) ledger.give_up(address, workload.uid);
}

// Addresses are reused while pods come and go, and news of the old one's end may come late: who got it last, has it.
const std::string& Builder::State::owner_of(const Ip& address,
                                            const std::vector<std::string>& claimants) const {
  const std::string* owner = &claimants.front();
  for (const std::string& uid : claimants)
    if (acquired.at(uid) > acquired.at(*owner)) owner = &uid;
  if (claimants.size() > 1) {
    log::warn("address {} is said to be of {} workloads; the last to get it, '{}', has it",
              address.to_string(), claimants.size(), *owner);
  }
  return *owner;
}

void Builder::State::settle_addresses(Commit& commit) {
  workload_addresses.settle([&](const Ip& address, const std::vector<std::string>& uids) {
    if (uids.empty()) {
      commit.workloads_at.erase(address);
    } else {
      commit.workloads_at.put(address, commit.workloads.find(owner_of(address, uids)));
    }
  });
  node_addresses.settle([&](const Ip& address, const std::vector<std::string>& uids) {
    if (uids.empty()) {
      commit.nodes.erase(address);
    } else if (!commit.nodes.find(address)) {
      commit.nodes.put(address, std::make_shared<const bool>(true));
    }
  });
  service_addresses.settle([&](const Ip& address, const std::vector<std::string>& names) {
    if (names.empty()) return commit.services_at.erase(address);
    auto services = std::make_shared<ServicesAtAddress>();
    for (const std::string& name : std::set<std::string>(names.begin(), names.end()))
      services->push_back(commit.services.find(name));
    commit.services_at.put(address, std::move(services));
  });
}

std::string describe(const Refusal& refusal) {
  constexpr const char* kKinds[] = {"update",    "mesh",   "workload", "service",
                                    "endpoints", "policy", "trust",    "routes"};
  const char* kind = kKinds[static_cast<size_t>(refusal.kind)];
  if (refusal.name.empty()) return fmt::format("{}: {}", kind, refusal.text);
  return fmt::format("{} '{}': {}", kind, refusal.name, refusal.text);
}

Builder::Builder() : state_(std::make_unique<State>()) {}
Builder::~Builder() = default;

std::expected<std::shared_ptr<const Snapshot>, Refusal> Builder::apply(const mesh::v1::Update& update) {
  auto staged = stage(update);
  if (!staged) return std::unexpected(std::move(staged.error()));
  if (staged->full_state) state_->complete_full_state(*staged);
  if (auto refusal = state_->check(*staged)) return std::unexpected(std::move(*refusal));
  return state_->commit(*staged);
}

std::shared_ptr<const Snapshot> Builder::current() const { return state_->current; }

}  // namespace weir::config

// What an earlier agent left, of this schema or another: cgroups, pods, programs. A process that dies leaves all of it in
// place, and whoever comes next goes on from there. Two schemas are attached side by side while pods go from one to the
// other: each marks and steers as the other does, to the same listeners, and knows the same proxies.
#include <algorithm>
#include <set>

#include "agent/redirect/cgroup.h"
#include "agent/redirect/impl.h"
#include "agent/redirect/netns.h"
#include "nodeproxy/base/log.h"

namespace weir::agent {

using namespace redirect;

namespace {

// Whether programs of another schema are attached to the pod.
bool has(const std::vector<Pins>& others, const Pod& pod) {
  return std::ranges::any_of(
      others, [&](const Pins& other) { return std::filesystem::exists(other.steer(pod.record.index)); });
}

}  // namespace

Status Redirect::Impl::set_cgroup(uint64_t id, uint32_t kind) {
  for (CgroupMap& map : other_cgroups)
    if (Status set = map.set(id, kind); !set) return set;
  return maps.cgroups.set(id, kind);
}

Status Redirect::Impl::erase_cgroup(uint64_t id) {
  for (CgroupMap& map : other_cgroups)
    if (Status erased = map.erase(id); !erased) return erased;
  return maps.cgroups.erase(id);
}

Status Redirect::Impl::adopt_cgroups() {
  for (const Pins& other : pins.others()) {
    auto map = open_cgroups(other);
    if (!map) {
      log::error("{}: {}", other.directory().string(), map.error().describe());
      continue;
    }
    log::info(
        "an agent of another version has captured pods here; its programs in {} stay until ours have all of "
        "them",
        other.directory().string());
    for (const uint64_t id : map->keys())
      if (map->get(id) == WEIR_CGROUP_PROXY && !maps.cgroups.get(id))
        if (Status set = maps.cgroups.set(id, WEIR_CGROUP_PROXY); !set) return set;
    other_cgroups.push_back(std::move(*map));
  }
  for (uint64_t id : maps.cgroups.keys()) {
    bool stale_agent = maps.cgroups.get(id) == WEIR_CGROUP_AGENT && id != options.agent_cgroup_id;
    if (stale_agent || !cgroup_exists(options.cgroup_root, id))
      if (Status erased = erase_cgroup(id); !erased) return erased;
  }
  if (options.agent_cgroup_id == cgroup_root_id)
    log::warn("the agent runs in the root cgroup: the listeners' port is not guarded there");
  return set_cgroup(options.agent_cgroup_id, WEIR_CGROUP_AGENT);
}

// Records whose namespace still exists become known pods; everything that belongs to no known pod goes.
Status Redirect::Impl::adopt_pods() {
  auto records = state.load_pods();
  if (!records) return std::unexpected(records.error());
  std::set<uint64_t> cookies;
  std::set<std::string> steers;
  for (PodRecord& record : *records) {
    auto netns = open_recorded(record, options);
    if (!netns) {
      if (Status released = release_pod(record, pins, &maps, state, options); !released) return released;
      continue;
    }
    if (std::filesystem::exists(pins.steer(record.index)))
      if (Status updated = install_steer(pins, record, netns->get()); !updated) return updated;
    cookies.insert(record.netns_cookie);
    steers.insert(pins.steer(record.index).filename());
    pods.emplace(record.uid, Pod{.record = record, .netns = std::move(*netns), .listeners = {}});
  }
  for (uint64_t cookie : maps.pods.keys())
    if (!cookies.contains(cookie))
      if (Status erased = maps.erase_namespace(cookie); !erased) return erased;
  for (const auto& pin : std::filesystem::directory_iterator(pins.directory())) {
    std::string name = pin.path().filename();
    if (name.starts_with("steer_") && !steers.contains(name))
      if (Status removed = remove_link(pin.path()); !removed) return removed;
  }
  return {};
}

std::expected<void, Error> Redirect::retire_other_schemas() {
  std::vector<Pins> others = impl_->pins.others();
  for (const auto& [uid, pod] : impl_->pods)
    if (has(others, pod) && !impl_->armed(pod)) return {};
  impl_->other_cgroups.clear();
  for (Pins& other : others) {
    if (Status removed = other.remove_schema(); !removed) return std::unexpected(removed.error());
    log::info("every pod is captured by our own programs: those in {} are removed",
              other.directory().string());
  }
  return {};
}

std::vector<KnownPod> Redirect::known_pods() const {
  std::vector<KnownPod> known;
  const std::vector<Pins> others = impl_->pins.others();
  for (const auto& [uid, pod] : impl_->pods) {
    KnownPod one{.spec = {.uid = uid, .netns_path = pod.record.netns_path, .addresses = {}},
                 .armed = impl_->armed(pod),
                 .has_listeners = !pod.listeners.empty()};
    one.by_other = !one.armed && has(others, pod);
    for (const Ip& address : pod.record.addresses) one.spec.addresses.push_back(address.to_string());
    known.push_back(std::move(one));
  }
  return known;
}

std::expected<void, Error> Redirect::add_proxy_cgroup(uint64_t cgroup_id) {
  if (cgroup_id == impl_->cgroup_root_id)
    return fail(Source::config, Reason::bad_config,
                "the proxy runs in the cgroup v2 root, where its sockets cannot be told from applications'");
  if (impl_->maps.cgroups.get(cgroup_id) == WEIR_CGROUP_AGENT)
    return fail(Source::config, Reason::bad_config,
                "the proxy runs in the agent's cgroup; give it one of its own");
  return impl_->set_cgroup(cgroup_id, WEIR_CGROUP_PROXY);
}

std::expected<void, Error> Redirect::remove_proxy_cgroup(uint64_t cgroup_id) {
  if (impl_->maps.cgroups.get(cgroup_id) != WEIR_CGROUP_PROXY) return {};
  return impl_->erase_cgroup(cgroup_id);
}

}  // namespace weir::agent

// Opening, adopting and enrolment. The order of the steps in prepare and install is what keeps a pod working while
// it is being captured: hooks and counts before the steering program, steering before the entry in `pods`.
#include "agent/redirect/redirect.h"

#include <unistd.h>

#include <algorithm>
#include <ctime>
#include <set>

#include "agent/redirect/cgroup.h"
#include "agent/redirect/impl.h"
#include "agent/redirect/netns.h"
#include "nodeproxy/base/log.h"

namespace weir::agent {

using namespace redirect;  // this file is the outside of that namespace

namespace {

Result<std::vector<Ip>> parse_addresses(const PodSpec& spec) {
  std::vector<Ip> addresses;
  for (const std::string& text : spec.addresses) {
    auto address = Ip::parse(text);
    if (!address || address->is_loopback() || address->is_unspecified())
      return fail(Source::config, Reason::bad_config,
                  "pod " + spec.uid + ": '" + text + "' is no address for a pod");
    addresses.push_back(*address);
  }
  if (addresses.empty())
    return fail(Source::config, Reason::bad_config, "pod " + spec.uid + " has no address");
  return addresses;
}

uint64_t new_generation() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

Error in_pod(const std::string& uid, Error error) {
  std::string text = "pod " + uid + ": " + (error.detail ? *error.detail : std::string());
  error.detail = std::make_shared<const std::string>(std::move(text));
  return error;
}

}  // namespace

PodRoutes redirect::routes_of(const PodRecord& pod) {
  PodRoutes routes;
  for (const Ip& address : pod.addresses) {
    auto& source = address.is_v4() ? routes.source4 : routes.source6;
    if (!source && !address.is_link_local()) source = address;
  }
  return routes;
}

Redirect::Redirect(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Redirect::~Redirect() = default;

std::expected<std::unique_ptr<Redirect>, Error> Redirect::open(RedirectOptions options) {
  auto state = SavedState::open(options.state_dir);
  if (!state) return std::unexpected(state.error());
  Pins pins(options.bpffs_dir, options.schema == 0 ? WEIR_SCHEMA : options.schema);
  const bool fresh = !std::filesystem::exists(pins.directory());
  auto abandon = [&](const Error& error) -> std::unexpected<Error> {
    // Nothing was captured by this schema yet: nothing of it is left behind. Another one goes on capturing.
    if (fresh && !pins.others().empty()) {
      (void)pins.remove_schema();
    } else if (fresh) {
      if (Status removed = pins.remove(*state); removed) (void)state->erase_all();
    }
    return std::unexpected(error);
  };
  if (Status created = pins.create(*state); !created) return abandon(created.error());

  auto node_netns =
      open_netns(options.node_netns.empty() ? "/proc/thread-self/ns/net" : options.node_netns.c_str());
  if (!node_netns) return abandon(node_netns.error());
  auto node_cookie = netns_cookie(node_netns->get());
  if (!node_cookie) return abandon(node_cookie.error());
  auto root_id = cgroup_id(options.cgroup_root);
  if (!root_id) return abandon(root_id.error());
  auto kubepods = find_pods_cgroup(options.cgroup_root, options.kubepods_cgroup);
  if (!kubepods) return abandon(kubepods.error());
  if (options.agent_cgroup_id == 0) {
    auto own = cgroup_of_pid(::getpid(), options.cgroup_root);
    if (!own) return abandon(own.error());
    options.agent_cgroup_id = own->id;
  }
  options.listeners_per_direction = std::max(options.listeners_per_direction, 1u);
  auto programs = Programs::install(
      pins, options.cgroup_root,
      {.node_cookie = *node_cookie, .kubepods_id = kubepods->id, .kubepods_level = kubepods->level});
  if (!programs) return abandon(programs.error());
  auto maps = Maps::open(pins);
  if (!maps) return abandon(maps.error());

  auto impl = std::unique_ptr<Impl>(new Impl{.options = std::move(options),
                                             .state = std::move(*state),
                                             .pins = pins,
                                             .programs = std::move(*programs),
                                             .maps = std::move(*maps),
                                             .other_cgroups = {},
                                             .cgroup_root_id = *root_id,
                                             .node_netns = std::move(*node_netns),
                                             .node_cookie = *node_cookie,
                                             .pods = {}});
  if (Status adopted = impl->adopt_cgroups(); !adopted) return std::unexpected(adopted.error());
  if (Status adopted = impl->adopt_pods(); !adopted) return std::unexpected(adopted.error());
  return std::unique_ptr<Redirect>(new Redirect(std::move(impl)));
}

Pod* Redirect::Impl::find(std::string_view uid) {
  auto found = pods.find(uid);
  return found == pods.end() ? nullptr : &found->second;
}

Result<Pod*> Redirect::Impl::need(std::string_view uid) {
  if (Pod* pod = find(uid)) return pod;
  return fail(Source::agent, Reason::internal, "pod " + std::string(uid) + " is not prepared");
}

bool Redirect::Impl::armed(const Pod& pod) const {
  return maps.pods.get(pod.record.netns_cookie).has_value();
}

Result<Pod> Redirect::Impl::new_pod(const PodSpec& spec, Fd netns, uint64_t cookie) {
  std::set<uint32_t> used;
  for (const auto& [uid, other] : pods) {
    if (other.record.netns_cookie == cookie)
      return fail(Source::config, Reason::bad_config, "pod " + uid + " is captured in the same namespace");
    used.insert(other.record.index);
  }
  uint32_t index = 0;
  while (used.contains(index)) ++index;
  if (index >= WEIR_PODS_MAX) return fail(Source::agent, Reason::overloaded, "too many pods");
  auto sysctls = in_netns(netns.get(), [] { return read_sysctls(); });
  if (!sysctls) return std::unexpected(sysctls.error());
  auto listeners = in_netns(netns.get(), [&] { return open_listeners(0, options.listeners_per_direction); });
  if (!listeners) return std::unexpected(listeners.error());
  PodRecord record{.uid = spec.uid,
                   .netns_path = spec.netns_path,
                   .netns_cookie = cookie,
                   .addresses = {},
                   .index = index,
                   .port = listeners->port,
                   .sysctls = std::move(*sysctls)};
  return Pod{.record = std::move(record), .netns = std::move(netns), .listeners = std::move(*listeners)};
}

std::expected<void, Error> Redirect::prepare(const PodSpec& spec) {
  auto addresses = parse_addresses(spec);
  if (!addresses) return std::unexpected(addresses.error());
  auto netns = spec.netns_fd < 0 ? open_netns(spec.netns_path) : duplicate_netns(spec.netns_fd);
  if (!netns) return std::unexpected(in_pod(spec.uid, netns.error()));
  auto cookie = netns_cookie(netns->get());
  if (!cookie) return std::unexpected(in_pod(spec.uid, cookie.error()));
  if (*cookie == impl_->node_cookie)
    return fail(Source::config, Reason::bad_config, "pod " + spec.uid + " is in the node's own namespace");

  Pod* known = impl_->find(spec.uid);
  if (known && known->record.netns_cookie != *cookie) {
    if (Status removed = remove(spec.uid); !removed) return removed;
    known = nullptr;
  }
  bool fresh = known == nullptr;
  if (fresh) {
    auto pod = impl_->new_pod(spec, std::move(*netns), *cookie);
    if (!pod) return std::unexpected(in_pod(spec.uid, pod.error()));
    known = &impl_->pods.emplace(spec.uid, std::move(*pod)).first->second;
  }
  known->record.addresses = *addresses;
  known->record.netns_path = spec.netns_path;
  Status done = impl_->state.save_pod(known->record);
  if (done) done = impl_->install(*known);
  if (done) return {};
  if (fresh)
    if (Status removed = remove(spec.uid); !removed)
      log::error("pod {} could not be put back: {}", spec.uid, removed.error().describe());
  return std::unexpected(in_pod(spec.uid, done.error()));
}

Status Redirect::Impl::install(Pod& pod) {
  const PodRecord& record = pod.record;
  if (!maps.namespaces.get(record.netns_cookie)) {
    weir_namespace ns{.listener_port = record.port, .seeded = 0, .generation = new_generation()};
    if (Status set = maps.namespaces.set(record.netns_cookie, ns); !set) return set;
  }
  if (pod.listeners.empty() && !served(record)) {
    auto groups = in_netns(pod.netns.get(),
                           [&] { return open_listeners(record.port, options.listeners_per_direction); });
    if (!groups) return std::unexpected(groups.error());
    pod.listeners = std::move(*groups);
  }
  if (!pod.listeners.empty())
    if (Status set = set_listeners(pod, std::move(pod.listeners)); !set) return set;
  if (Status set = set_addresses(record); !set) return set;
  Status inside = in_netns(pod.netns.get(), [&]() -> Status {
    if (Status applied = apply_sysctls(record.sysctls); !applied) return applied;
    return install_routes(routes_of(record));
  });
  if (!inside) return inside;
  if (Status seeded = seed(pod); !seeded) return seeded;
  return install_steer(pins, record, pod.netns.get());
}

Status Redirect::Impl::set_addresses(const PodRecord& pod) {
  std::set<Ip> wanted(pod.addresses.begin(), pod.addresses.end());
  for (const Ip& address : wanted)
    if (Status set = maps.addresses.set(to_abi(address), pod.netns_cookie); !set) return set;
  for (const weir_address& address : maps.addresses.keys())
    if (maps.addresses.get(address) == pod.netns_cookie && !wanted.contains(from_abi(address)))
      if (Status erased = maps.addresses.erase(address); !erased) return erased;
  return {};
}

Status Redirect::Impl::set_listeners(Pod& pod, ListenerGroups groups) {
  auto outbound = static_cast<uint64_t>(groups.outbound.front().get());
  auto inbound = static_cast<uint64_t>(groups.inbound.front().get());
  if (Status set = maps.listeners.set(pod.record.outbound_slot(), outbound); !set) return set;
  if (Status set = maps.listeners.set(pod.record.inbound_slot(), inbound); !set) return set;
  pod.listeners = std::move(groups);
  return {};
}

Status Redirect::Impl::seed(Pod& pod) {
  uint64_t failed_before = maps.counter(WEIR_COUNT_LISTEN_FAILED);
  if (Status seeded = in_netns(pod.netns.get(), [&] { return programs.seed(); }); !seeded) return seeded;
  auto ns = maps.namespaces.get(pod.record.netns_cookie);
  if (!ns || ns->seeded || maps.counter(WEIR_COUNT_LISTEN_FAILED) != failed_before) return {};
  ns->seeded = 1;
  return maps.namespaces.set(pod.record.netns_cookie, *ns);
}

std::expected<void, Error> Redirect::arm(std::string_view uid) {
  auto pod = impl_->need(uid);
  if (!pod) return std::unexpected(pod.error());
  const PodRecord& record = (*pod)->record;
  if (!impl_->maps.listeners.get(record.outbound_slot()) || !impl_->maps.listeners.get(record.inbound_slot()))
    return fail(Source::agent, Reason::internal,
                "pod " + record.uid + " has no listeners: it would only be refused");
  return impl_->maps.pods.set(record.netns_cookie,
                              {.outbound_slot = record.outbound_slot(), .flags = WEIR_POD_ARMED});
}

std::expected<void, Error> Redirect::disarm(std::string_view uid) {
  auto pod = impl_->need(uid);
  if (!pod) return std::unexpected(pod.error());
  return impl_->maps.pods.erase((*pod)->record.netns_cookie);
}

std::expected<void, Error> Redirect::remove(std::string_view uid) {
  auto found = impl_->pods.find(uid);
  if (found == impl_->pods.end()) return {};
  const Pod& pod = found->second;
  Status released =
      release_pod(pod.record, impl_->pins, &impl_->maps, impl_->state, impl_->options, pod.netns.get());
  if (!released) return std::unexpected(in_pod(std::string(uid), released.error()));
  impl_->pods.erase(found);
  return {};
}

std::expected<PodListeners, Error> Redirect::listeners(std::string_view uid) const {
  auto pod = impl_->need(uid);
  if (!pod) return std::unexpected(pod.error());
  const Pod& one = **pod;
  if (one.listeners.empty())
    return fail(Source::agent, Reason::internal,
                "pod " + one.record.uid +
                    ": its listeners are held by an earlier agent's proxy; adopt or reopen them");
  PodListeners borrowed{.netns_fd = one.netns.get(),
                        .netns_cookie = one.record.netns_cookie,
                        .port = one.record.port,
                        .outbound = {},
                        .inbound = {}};
  for (const Fd& fd : one.listeners.outbound) borrowed.outbound.push_back(fd.get());
  for (const Fd& fd : one.listeners.inbound) borrowed.inbound.push_back(fd.get());
  return borrowed;
}

std::expected<void, Error> Redirect::adopt_listeners(std::string_view uid, const std::vector<int>& outbound,
                                                     const std::vector<int>& inbound) {
  ListenerGroups groups;
  for (int fd : outbound) groups.outbound.emplace_back(fd);
  for (int fd : inbound) groups.inbound.emplace_back(fd);
  auto pod = impl_->need(uid);
  if (!pod) return std::unexpected(pod.error());
  const PodRecord& record = (*pod)->record;
  groups.port = record.port;
  if (groups.empty())
    return fail(Source::agent, Reason::internal, "pod " + record.uid + ": no listeners handed back");
  for (const Fd& fd : groups.outbound)
    if (Status ok = check_listener(fd.get(), Direction::outbound, record.port, record.netns_cookie); !ok)
      return std::unexpected(in_pod(record.uid, ok.error()));
  for (const Fd& fd : groups.inbound)
    if (Status ok = check_listener(fd.get(), Direction::inbound, record.port, record.netns_cookie); !ok)
      return std::unexpected(in_pod(record.uid, ok.error()));
  return impl_->set_listeners(**pod, std::move(groups));
}

bool Redirect::served(std::string_view uid) const {
  const Pod* pod = impl_->find(uid);
  return pod && impl_->served(pod->record);
}

std::expected<void, Error> Redirect::reopen_listeners(std::string_view uid) {
  auto pod = impl_->need(uid);
  if (!pod) return std::unexpected(pod.error());
  uint16_t port = (*pod)->record.port;
  unsigned members = impl_->options.listeners_per_direction;
  auto groups = in_netns((*pod)->netns.get(), [&] { return open_listeners(port, members); });
  if (!groups) return std::unexpected(in_pod((*pod)->record.uid, groups.error()));
  return impl_->set_listeners(**pod, std::move(*groups));
}

}  // namespace weir::agent

// Putting things back: one pod (release_pod), or everything (Redirect::uninstall). Works from the records on disk, so
// it serves pods of a crashed agent as well, and finds pins and namespaces present, half made or gone.
#include "agent/redirect/impl.h"
#include "agent/redirect/netns.h"
#include "agent/redirect/sysctls.h"
#include "nodeproxy/base/log.h"

namespace weir::agent {

using namespace redirect;

namespace {

// Remembers the first failure of several steps that are all taken.
struct FirstError {
  Status status;
  void note(Status step) {
    if (!step && status) status = std::move(step);
  }
};

Status restore_namespace(const PodRecord& pod, const RedirectOptions& options, int netns_fd) {
  auto netns = netns_fd < 0 ? open_recorded(pod, options) : duplicate_netns(netns_fd);
  if (!netns) return {};  // gone, and all that was in it
  return in_netns(netns->get(), [&]() -> Status {
    FirstError first;
    first.note(remove_routes());
    first.note(restore_sysctls(pod.sysctls));
    return first.status;
  });
}

}  // namespace

Result<Fd> redirect::open_recorded(const PodRecord& pod, const RedirectOptions& options) {
  const auto is_it = [&](const Result<Fd>& netns) {
    const auto cookie = netns ? netns_cookie(netns->get()) : std::unexpected(netns.error());
    return cookie && *cookie == pod.netns_cookie;
  };
  auto netns = open_netns(pod.netns_path);
  if (is_it(netns)) return netns;
  if (!options.find_netns)
    return fail(Source::kernel, Reason::io, "its namespace is gone, or another by now");
  PodSpec spec{.uid = pod.uid, .netns_path = pod.netns_path, .addresses = {}};
  for (const Ip& address : pod.addresses) spec.addresses.push_back(address.to_string());
  auto found = options.find_netns(spec);
  if (found && !is_it(found))
    return fail(Source::kernel, Reason::io, "its namespace is gone, or another by now");
  return found;
}

Status redirect::release_pod(const PodRecord& pod, const Pins& pins, Maps* maps, SavedState& state,
                             const RedirectOptions& options, int netns_fd) {
  FirstError first;
  if (maps) {
    first.note(maps->erase_namespace(pod.netns_cookie));
    first.note(maps->listeners.erase(pod.outbound_slot()));
    first.note(maps->listeners.erase(pod.inbound_slot()));
  }
  first.note(remove_link(pins.steer(pod.index)));
  first.note(restore_namespace(pod, options, netns_fd));
  if (first.status) first.note(state.erase_pod(pod));
  return first.status;
}

std::expected<void, Error> Redirect::uninstall(const RedirectOptions& options) {
  if (!std::filesystem::exists(options.state_dir / "redirect")) return {};
  auto state = SavedState::open(options.state_dir);
  if (!state) return std::unexpected(state.error());
  Pins pins(options.bpffs_dir);
  FirstError first;
  auto maps = Maps::open(pins);
  // All pods' connections are their own again before anything they rely on goes.
  if (maps)
    for (uint64_t cookie : maps->pods.keys()) first.note(maps->pods.erase(cookie));
  auto records = state->load_pods();
  if (!records) return std::unexpected(records.error());
  for (const PodRecord& record : *records) {
    Status released = release_pod(record, pins, maps ? &*maps : nullptr, *state, options);
    if (!released) log::error("pod {}: {}", record.uid, released.error().describe());
    first.note(released);
  }
  first.note(pins.remove(*state));
  if (first.status) first.note(state->erase_all());
  return first.status;
}

}  // namespace weir::agent

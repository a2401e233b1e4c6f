// Loading and attaching. libbpf's skeletons carry the objects inside the agent's binary; a skeleton lives only while
// its program is loaded and attached, then pins keep everything.
#include "agent/redirect/programs.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdarg>
#include <cstdio>

#include "agent/redirect/cgroup.h"
#include "bpf/adjust.skel.h"
#include "bpf/bind.skel.h"
#include "bpf/connect.skel.h"
#include "bpf/seed.skel.h"
#include "bpf/sock_state.skel.h"
#include "bpf/sockops.skel.h"
#include "bpf/steer.skel.h"
#include "nodeproxy/base/fd.h"
#include "nodeproxy/base/log.h"

namespace weir::agent::redirect {
namespace {

namespace fs = std::filesystem;

constexpr std::array link_names = {"connect4", "connect6", "bind4", "bind6", "sockops", "sock_state"};

template <typename Skeleton, void (*destroy)(Skeleton*)>
using Owned = std::unique_ptr<Skeleton, decltype([](Skeleton* skeleton) { destroy(skeleton); })>;
using Connect = Owned<weir_connect_bpf, weir_connect_bpf__destroy>;
using Bind = Owned<weir_bind_bpf, weir_bind_bpf__destroy>;
using Sockops = Owned<weir_sockops_bpf, weir_sockops_bpf__destroy>;
using SockState = Owned<weir_sock_state_bpf, weir_sock_state_bpf__destroy>;
using Steer = Owned<weir_steer_bpf, weir_steer_bpf__destroy>;
using Seed = Owned<weir_seed_bpf, weir_seed_bpf__destroy>;
using Adjust = Owned<weir_adjust_bpf, weir_adjust_bpf__destroy>;

// libbpf's own words, with the verifier's, for `--log-level debug`.
int print(libbpf_print_level level, const char* format, va_list arguments) {
  if (level != LIBBPF_WARN || !log::enabled(log::Level::debug)) return 0;
  std::array<char, 4096> text;
  int length = std::vsnprintf(text.data(), text.size(), format, arguments);
  log::debug("{}", text.data());
  return length;
}

// Every object shares the pinned maps: a map whose pin exists is reused, another is created and pinned.
Status load(bpf_object* object, const Pins& pins, const char* name) {
  if (!object)
    return fail(Source::kernel, Reason::internal, std::string("cannot open BPF object ") + name, errno);
  bpf_map* map = nullptr;
  bpf_object__for_each_map(map, object) {
    if (bpf_map__is_internal(map)) continue;
    if (int error = bpf_map__set_pin_path(map, pins.map(bpf_map__name(map)).c_str()); error < 0)
      return fail(Source::kernel, Reason::internal, std::string("pin path of a map of ") + name, -error);
  }
  if (int error = bpf_object__load(object); error < 0)
    return fail(Source::kernel, Reason::io, std::string("the kernel refuses BPF program ") + name, -error);
  return {};
}

// Takes a new program into a pinned link; false when there is no link yet.
Result<bool> update(const fs::path& pin, const bpf_program* program) {
  auto link = open_pin(pin);
  if (!link && link.error().os_code == ENOENT) return false;
  if (!link) return std::unexpected(link.error());
  int error = ::bpf_link_update(link->get(), bpf_program__fd(program), nullptr);
  if (error == 0) return true;
  // ENOLINK, EINVAL: the pin outlived what it was attached to.
  if (error != -ENOLINK && error != -EINVAL)
    return fail(Source::kernel, Reason::io, "cannot update link " + pin.string(), -error);
  if (Status removed = remove_link(pin); !removed) return std::unexpected(removed.error());
  return false;
}

Status pin_link(bpf_link* link, const fs::path& pin, const std::string& what) {
  if (!link) {
    int error = errno;
    std::string hint =
        error == EPERM ? ": another product's exclusive (non-MULTI) program is attached there; see `bpftool "
                         "cgroup tree`"
                       : "";
    return fail(Source::kernel, Reason::io, "cannot attach " + what + hint, error);
  }
  int error = bpf_link__pin(link, pin.c_str());
  bpf_link__destroy(link);  // the pin keeps it attached
  if (error < 0) return fail(Source::kernel, Reason::io, "cannot pin " + pin.string(), -error);
  return {};
}

Status attach_cgroup(const Pins& pins, int cgroup_fd, const char* name, const bpf_program* program) {
  auto updated = update(pins.link(name), program);
  if (!updated) return std::unexpected(updated.error());
  if (*updated) return {};
  return pin_link(bpf_program__attach_cgroup(program, cgroup_fd), pins.link(name),
                  std::string(name) + " at the cgroup root");
}

Status attach_sock_state(const Pins& pins, const bpf_program* program) {
  fs::path next = pins.link("sock_state_next"), current = pins.link("sock_state");
  if (Status removed = remove_link(next); !removed) return removed;
  if (Status pinned = pin_link(bpf_program__attach_trace(program), next, "inet_sock_set_state"); !pinned)
    return pinned;
  std::error_code error;
  fs::rename(next, current, error);
  if (error) return fail(Source::kernel, Reason::io, "cannot rename " + next.string(), error.value());
  return {};
}

}  // namespace

struct Programs::Held {
  Seed seed;
  Adjust adjust;
  std::unique_ptr<bpf_link, decltype([](bpf_link* link) { bpf_link__destroy(link); })> iterator;
};

Programs::Programs() : held_(std::make_unique<Held>()) {}
Programs::Programs(Programs&&) noexcept = default;
Programs& Programs::operator=(Programs&&) noexcept = default;
Programs::~Programs() = default;

Result<Programs> Programs::install(const Pins& pins, const fs::path& cgroup_root,
                                   const NodeConstants& constants) {
  libbpf_set_print(print);
  if (auto id = cgroup_id(cgroup_root); !id) return std::unexpected(id.error());
  Fd cgroup(::open(cgroup_root.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!cgroup) return fail_errno(Source::kernel, "cannot open " + cgroup_root.string(), errno);

  Connect connect(weir_connect_bpf__open());
  Bind bind(weir_bind_bpf__open());
  Sockops sockops(weir_sockops_bpf__open());
  SockState sock_state(weir_sock_state_bpf__open());
  Programs programs;
  Seed& seed = programs.held_->seed;
  Adjust& adjust = programs.held_->adjust;
  seed.reset(weir_seed_bpf__open());
  adjust.reset(weir_adjust_bpf__open());
  if (!connect || !bind || !sockops || !sock_state || !seed || !adjust)
    return fail(Source::kernel, Reason::internal, "cannot open a BPF object", errno);
  connect->rodata->node_cookie = constants.node_cookie;
  connect->rodata->kubepods_id = constants.kubepods_id;
  connect->rodata->kubepods_level = constants.kubepods_level;
  sockops->rodata->node_cookie = constants.node_cookie;

  struct Step {
    bpf_object* object;
    const char* name;
  };
  for (Step step :
       {Step{sock_state->obj, "sock_state"}, Step{sockops->obj, "sockops"}, Step{bind->obj, "bind"},
        Step{connect->obj, "connect"}, Step{seed->obj, "seed"}, Step{adjust->obj, "adjust"}})
    if (Status loaded = load(step.object, pins, step.name); !loaded) return std::unexpected(loaded.error());

  // What takes entries away comes before what makes them.
  if (Status status = attach_sock_state(pins, sock_state->progs.weir_sock_state); !status)
    return std::unexpected(status.error());
  struct Hook {
    const char* name;
    const bpf_program* program;
  };
  for (Hook hook : {Hook{"sockops", sockops->progs.weir_sockops}, Hook{"bind4", bind->progs.weir_bind4},
                    Hook{"bind6", bind->progs.weir_bind6}, Hook{"connect4", connect->progs.weir_connect4},
                    Hook{"connect6", connect->progs.weir_connect6}})
    if (Status status = attach_cgroup(pins, cgroup.get(), hook.name, hook.program); !status)
      return std::unexpected(status.error());
  programs.held_->iterator.reset(bpf_program__attach_iter(seed->progs.weir_seed, nullptr));
  if (!programs.held_->iterator)
    return fail_errno(Source::kernel, "cannot make the iterator of sockets", errno);
  return programs;
}

Status Programs::seed() const {
  Fd iteration(::bpf_iter_create(bpf_link__fd(held_->iterator.get())));
  if (!iteration) return fail_errno(Source::kernel, "cannot iterate over sockets", errno);
  std::array<char, 64> nothing;
  ssize_t bytes = 0;
  while ((bytes = ::read(iteration.get(), nothing.data(), nothing.size())) != 0)
    if (bytes < 0 && errno != EINTR && errno != EAGAIN)
      return fail_errno(Source::kernel, "iterating over sockets", errno);
  return {};
}

Result<bool> Programs::adjust(const weir_listen_key& key, int64_t delta) const {
  struct weir_adjust argument{.key = key, .delta = delta};
  LIBBPF_OPTS(bpf_test_run_opts, options, .ctx_in = &argument, .ctx_size_in = sizeof(argument));
  int error = ::bpf_prog_test_run_opts(bpf_program__fd(held_->adjust->progs.weir_adjust), &options);
  if (error < 0) return fail(Source::kernel, Reason::io, "cannot correct a LISTEN count", -error);
  return options.retval == 0;
}

std::span<const char* const> node_links() { return link_names; }

Status install_steer(const Pins& pins, const PodRecord& pod, int netns_fd) {
  Steer steer(weir_steer_bpf__open());
  if (!steer) return fail(Source::kernel, Reason::internal, "cannot open the sk_lookup program", errno);
  steer->rodata->netns_cookie = pod.netns_cookie;
  steer->rodata->outbound_slot = pod.outbound_slot();
  steer->rodata->inbound_slot = pod.inbound_slot();
  steer->rodata->listener_port = pod.port;
  if (Status loaded = load(steer->obj, pins, "steer"); !loaded) return loaded;
  auto updated = update(pins.steer(pod.index), steer->progs.weir_steer);
  if (!updated) return std::unexpected(updated.error());
  if (*updated) return {};
  return pin_link(bpf_program__attach_netns(steer->progs.weir_steer, netns_fd), pins.steer(pod.index),
                  "sk_lookup in pod " + pod.uid);
}

Result<LinkState> link_state(const fs::path& pin) {
  auto link = open_pin(pin);
  if (!link) return std::unexpected(link.error());
  bpf_link_info info{};
  uint32_t length = sizeof(info);
  if (int error = ::bpf_obj_get_info_by_fd(link->get(), &info, &length); error < 0)
    return fail(Source::kernel, Reason::io, "cannot read " + pin.string(), -error);
  LinkState state{.program_id = info.prog_id, .cgroup_id = 0, .netns_inode = 0};
  if (info.type == BPF_LINK_TYPE_CGROUP) state.cgroup_id = info.cgroup.cgroup_id;
  if (info.type == BPF_LINK_TYPE_NETNS) state.netns_inode = info.netns.netns_ino;
  return state;
}

}  // namespace weir::agent::redirect

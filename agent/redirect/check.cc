// Whether a pod's capture really is in place: each part is read back from the kernel, and the two decisions are tried.
//
// connect4/6: a socket made in the pod's namespace, in the agent's cgroup, connects to a multicast address. The hook
// sees it and marks it; TCP then refuses multicast (ENETUNREACH) before a packet exists; the mark is read back.
// sk_lookup: the pod's instance is run by BPF_PROG_TEST_RUN in the pod's namespace on made-up SYNs, and says whether it
// would pass, drop or steer them. A test run has no ingress interface, so only the inbound side can be tried so; for the
// outbound one the kernel is asked how it would route a marked packet. No packet leaves; counters count the tries.
#include <arpa/inet.h>
#include <fmt/format.h>
#include <linux/bpf.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "agent/redirect/impl.h"
#include "agent/redirect/netns.h"
#include "agent/redirect/sysctls.h"

namespace weir::agent {

using namespace redirect;

namespace {

CheckResult result(std::string name, const std::vector<std::string>& faults, std::string fine) {
  if (faults.empty()) return {std::move(name), true, std::move(fine)};
  return {std::move(name), false, fmt::format("{}", fmt::join(faults, "; "))};
}

CheckResult result(std::string name, const Result<std::vector<std::string>>& faults, std::string fine) {
  if (!faults) return {std::move(name), false, faults.error().describe()};
  return result(std::move(name), *faults, std::move(fine));
}

// Connects a new socket of the calling thread's namespace to a multicast address; the mark that the hook gave it.
Result<uint32_t> mark_of_probe(bool v6) {
  Fd probe(::socket(v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP));
  if (!probe) return fail_errno(Source::kernel, "cannot make a socket in the pod", errno);
  SocketAddress nowhere{.ip = *Ip::parse(v6 ? "ff0e::7e1:1" : "224.0.0.1"), .port = 9};
  sockaddr_storage address{};
  socklen_t length = nowhere.to_sockaddr(address);
  int error = ::connect(probe.get(), reinterpret_cast<sockaddr*>(&address), length) < 0 ? errno : 0;
  if (error != ENETUNREACH)
    return fail(Source::kernel, Reason::io, "connect() of a probe was refused", error);
  uint32_t mark = 0;
  socklen_t mark_length = sizeof(mark);
  if (::getsockopt(probe.get(), SOL_SOCKET, SO_MARK, &mark, &mark_length) < 0)
    return fail_errno(Source::kernel, "SO_MARK", errno);
  return mark;
}

struct Syn {
  SocketAddress from;
  SocketAddress to;
};

enum class Steered { passed, dropped, given_to_group };

// What a sk_lookup program does with a SYN, in the calling thread's namespace.
Result<Steered> try_steer(int program_fd, const Syn& syn) {
  bpf_sk_lookup context{};
  context.family = syn.to.ip.is_v4() ? AF_INET : AF_INET6;
  context.protocol = IPPROTO_TCP;
  std::string from = syn.from.ip.to_wire(), to = syn.to.ip.to_wire();
  std::memcpy(syn.to.ip.is_v4() ? &context.remote_ip4 : context.remote_ip6, from.data(), from.size());
  std::memcpy(syn.to.ip.is_v4() ? &context.local_ip4 : context.local_ip6, to.data(), to.size());
  context.remote_port = htons(syn.from.port);
  context.local_port = syn.to.port;
  bpf_sk_lookup answer{};
  LIBBPF_OPTS(bpf_test_run_opts, options, .ctx_in = &context, .ctx_out = &answer,
              .ctx_size_in = sizeof(context), .ctx_size_out = sizeof(answer));
  int error = ::bpf_prog_test_run_opts(program_fd, &options);
  // The kernel's answer to a program that selects a socket of a SO_REUSEPORT group, which only our listeners are.
  if (error == -EOPNOTSUPP) return Steered::given_to_group;
  if (error < 0) return fail(Source::kernel, Reason::io, "cannot run the sk_lookup program", -error);
  return options.retval == SK_PASS ? Steered::passed : Steered::dropped;
}

// A port of the pod that somebody listens on for the family of `own`, or 0.
uint16_t open_port(const Maps& maps, uint64_t cookie, const Ip& own) {
  uint16_t family_class = own.is_v4() ? WEIR_CLASS_IPV4 : WEIR_CLASS_IPV6;
  for (const weir_listen_key& key : maps.listening.keys())
    if (key.netns_cookie == cookie && key.family_class == family_class &&
        maps.listening.get(key).value_or(0) > 0)
      return key.port;
  return 0;
}

uint16_t closed_port(const Maps& maps, uint64_t cookie, uint16_t listener_port) {
  for (uint16_t port = 1; port != 0; ++port) {
    weir_listen_key key{.netns_cookie = cookie, .port = port, .family_class = WEIR_CLASS_IPV4, .zero = 0};
    weir_listen_key key6 = key;
    key6.family_class = WEIR_CLASS_IPV6;
    if (port != listener_port && maps.listening.get(key).value_or(0) <= 0 &&
        maps.listening.get(key6).value_or(0) <= 0)
      return port;
  }
  return 0;
}

std::vector<std::string> steer_faults(int program_fd, const Pod& pod, const Maps& maps) {
  std::vector<std::string> faults;
  const PodRecord& record = pod.record;
  auto expect = [&](const char* what, const Syn& syn, Steered wanted) {
    auto got = try_steer(program_fd, syn);
    if (!got)
      faults.push_back(got.error().describe());
    else if (*got != wanted)
      faults.push_back(std::string(what) + (*got == Steered::passed    ? " passes Weir by"
                                            : *got == Steered::dropped ? " is dropped"
                                                                       : " goes to a listener"));
  };
  bool served = maps.listeners.get(record.inbound_slot()).has_value();
  uint16_t closed = closed_port(maps, record.netns_cookie, record.port);
  auto ns = maps.namespaces.get(record.netns_cookie);
  for (const Ip& own : record.addresses) {
    Ip outside = *Ip::parse(own.is_v4() ? "192.0.2.1" : "2001:db8::1");
    Ip loopback = *Ip::parse(own.is_v4() ? "127.0.0.1" : "::1");
    expect("a SYN to loopback", {{loopback, 40000}, {loopback, closed}}, Steered::passed);
    expect("a SYN to the listeners' own port", {{outside, 40000}, {own, record.port}}, Steered::dropped);
    if (ns && ns->seeded)
      expect("a SYN to a closed port", {{outside, 40000}, {own, closed}}, Steered::dropped);
    if (uint16_t open = open_port(maps, record.netns_cookie, own); open && served)
      expect("a SYN to an open port", {{outside, 40000}, {own, open}}, Steered::given_to_group);
  }
  return faults;
}

std::vector<std::string> sk_lookup_faults(const Pod& pod, const Pins& pins, const Maps& maps) {
  auto link = link_state(pins.steer(pod.record.index));
  if (!link) return {link.error().describe()};
  auto inode = netns_inode(pod.netns.get());
  if (!inode || link->netns_inode != *inode)
    return {"the pinned link is not attached to the pod's namespace"};
  std::vector<std::string> faults;
  std::vector<uint32_t> attached(64);
  LIBBPF_OPTS(bpf_prog_query_opts, query, .prog_ids = attached.data(), .prog_cnt = 64u);
  if (::bpf_prog_query_opts(pod.netns.get(), BPF_SK_LOOKUP, &query) == 0) {
    attached.resize(query.prog_cnt);
    if (std::ranges::find(attached, link->program_id) == attached.end())
      faults.push_back("the program is not attached");
    // One that selects a socket overrides our SK_DROP. Another schema's is no stranger.
    const auto others = std::ranges::count_if(pins.others(), [&](const Pins& other) {
      const auto theirs = link_state(other.steer(pod.record.index));
      return theirs && std::ranges::find(attached, theirs->program_id) != attached.end();
    });
    if (attached.size() > 1 + static_cast<size_t>(others))
      faults.push_back("a foreign sk_lookup program is attached too; see `bpftool net`");
  }
  Fd program(::bpf_prog_get_fd_by_id(link->program_id));
  if (!program) return {"the program is gone"};
  auto tried = in_netns(pod.netns.get(), [&]() -> Result<std::vector<std::string>> {
    return steer_faults(program.get(), pod, maps);
  });
  faults.insert(faults.end(), tried->begin(), tried->end());
  return faults;
}

std::vector<std::string> program_faults(const Pins& pins, uint64_t cgroup_root_id) {
  std::vector<std::string> faults;
  for (const char* name : node_links()) {
    auto link = link_state(pins.link(name));
    bool tracing = std::string_view(name) == "sock_state";
    if (!link)
      faults.push_back(link.error().describe());
    else if (!tracing && link->cgroup_id != cgroup_root_id)
      faults.push_back(std::string(name) + " is not attached at the cgroup root");
  }
  return faults;
}

std::vector<std::string> listener_faults(const Pod& pod, const Maps& maps) {
  std::vector<std::string> faults;
  struct Slot {
    const char* name;
    uint32_t slot;
    const std::vector<Fd>& group;
  };
  for (const Slot& slot : {Slot{"outbound", pod.record.outbound_slot(), pod.listeners.outbound},
                           Slot{"inbound", pod.record.inbound_slot(), pod.listeners.inbound}}) {
    auto found = maps.listeners.get(slot.slot);
    if (!found) {
      faults.push_back(std::string("nobody is in the ") + slot.name + " slot");
      continue;
    }
    bool ours = slot.group.empty();  // held by a proxy only
    for (const Fd& fd : slot.group) ours |= socket_cookie(fd.get()).value_or(0) == *found;
    if (!ours) faults.push_back(std::string("a stranger is in the ") + slot.name + " slot");
  }
  return faults;
}

}  // namespace

std::vector<CheckResult> Redirect::check(std::string_view uid) {
  const Pod* pod = impl_->find(uid);
  if (!pod) return {{"map_entry", false, "the pod is not prepared"}};
  const PodRecord& record = pod->record;
  const Maps& maps = impl_->maps;
  std::vector<CheckResult> results;
  bool captured = impl_->armed(*pod);
  results.push_back({"map_entry", captured,
                     captured ? "the pod is captured" : "the pod is not in the map of captured pods"});
  results.push_back(
      result("programs", program_faults(impl_->pins, impl_->cgroup_root_id), "all hooks are attached"));
  results.push_back(result(
      "sysctls", in_netns(pod->netns.get(), [&] { return wrong_sysctls(record.sysctls); }), "set as needed"));
  results.push_back(result("routes",
                           in_netns(pod->netns.get(), [&] { return missing_routes(routes_of(record)); }),
                           "rule and looping routes are there"));
  results.push_back(result("listeners", listener_faults(*pod, maps), "both groups listen"));
  auto ns = maps.namespaces.get(record.netns_cookie);
  bool seeded = ns && ns->seeded;
  results.push_back(
      {"seeded", seeded, seeded ? "closed ports refuse" : "listening ports are not all counted"});
  results.push_back(result("sk_lookup", sk_lookup_faults(*pod, impl_->pins, maps), "steers as it should"));

  PodRoutes routes = routes_of(record);
  for (bool v6 : {false, true}) {
    if (!(v6 ? routes.source6 : routes.source4)) continue;
    std::string name = v6 ? "connect6" : "connect4";
    auto mark = in_netns(pod->netns.get(), [&] { return mark_of_probe(v6); });
    if (!mark)
      results.push_back({name, false, mark.error().describe()});
    else
      results.push_back(
          {name, (*mark & WEIR_MARK_CAPTURED) != 0, "a probe's mark is " + std::to_string(*mark)});
    auto looped =
        in_netns(pod->netns.get(), [&] { return loops(*Ip::parse(v6 ? "2001:db8::1" : "192.0.2.1")); });
    bool ok = looped && *looped;
    results.push_back({v6 ? "loop6" : "loop4", ok,
                       ok ? "the kernel routes marked packets back into the pod"
                          : "the kernel would send a marked packet out of the pod"});
  }
  return results;
}

}  // namespace weir::agent

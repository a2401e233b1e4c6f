// What the kernel counts against what it has: LISTEN counts, exempt tuples, connections older than the rule.
//
// A tracepoint program is skipped when it interrupts itself on one CPU, so a count can stay too high and an exemption
// outlive its socket; both are rare, and a left-over exemption is a hole. Hence once a minute, and at adoption.
#include <netinet/tcp.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <set>
#include <thread>
#include <tuple>

#include "agent/redirect/impl.h"
#include "agent/redirect/netns.h"
#include "agent/redirect/sock_diag.h"

namespace weir::agent {

using namespace redirect;

namespace {

constexpr uint32_t listen_states = 1u << TCP_LISTEN;
// Every state in which a connecting socket can be: not TIME_WAIT and not half-open servers, which own nothing.
constexpr uint32_t connected_states = (1u << TCP_ESTABLISHED) | (1u << TCP_SYN_SENT) | (1u << TCP_FIN_WAIT1) |
                                      (1u << TCP_FIN_WAIT2) | (1u << TCP_CLOSE_WAIT) | (1u << TCP_LAST_ACK) |
                                      (1u << TCP_CLOSING);
constexpr uint32_t living_states = (1u << TCP_ESTABLISHED) | (1u << TCP_SYN_SENT) | (1u << TCP_CLOSE_WAIT) |
                                   (1u << TCP_FIN_WAIT1) | (1u << TCP_FIN_WAIT2);

using PortClass = std::pair<uint16_t, uint16_t>;  // port, WEIR_CLASS_*

// The same rules as listen_classes() of bpf/listen.h.
std::map<PortClass, int64_t> real_counts(const std::vector<DiagSocket>& sockets) {
  std::map<PortClass, int64_t> counts;
  for (const DiagSocket& socket : sockets) {
    const Ip& at = socket.local.ip;
    if (at.is_loopback()) continue;
    bool any6 = socket.family == AF_INET6 && at.is_unspecified() && !at.is_v4();
    if (at.is_v4() || (any6 && !socket.v6only)) ++counts[{socket.local.port, WEIR_CLASS_IPV4}];
    if (!at.is_v4()) ++counts[{socket.local.port, WEIR_CLASS_IPV6}];
  }
  return counts;
}

// Real minus counted, where they differ.
std::map<PortClass, int64_t> differences(const Maps& maps, uint64_t cookie,
                                         const std::vector<DiagSocket>& sockets) {
  std::map<PortClass, int64_t> difference = real_counts(sockets);
  for (const weir_listen_key& key : maps.listening.keys())
    if (key.netns_cookie == cookie)
      difference[{key.port, key.family_class}] -= maps.listening.get(key).value_or(0);
  std::erase_if(difference, [](const auto& entry) { return entry.second == 0; });
  return difference;
}

Result<std::map<PortClass, int64_t>> differences(const Maps& maps, const Pod& pod) {
  auto sockets = in_netns(pod.netns.get(), [] { return tcp_sockets(listen_states); });
  if (!sockets) return std::unexpected(sockets.error());
  return differences(maps, pod.record.netns_cookie, *sockets);
}

// Corrects what differs by the same amount twice: what moves in between is being counted just now.
Result<uint64_t> correct_counts(Maps& maps, const Programs& programs, const Pod& pod) {
  auto before = differences(maps, pod);
  if (!before || before->empty()) return before ? Result<uint64_t>(0) : std::unexpected(before.error());
  std::this_thread::sleep_for(std::chrono::milliseconds(5));
  auto after = differences(maps, pod);
  if (!after) return std::unexpected(after.error());
  uint64_t corrected = 0;
  for (const auto& [port_class, difference] : *after) {
    auto same = before->find(port_class);
    if (same == before->end() || same->second != difference) continue;
    weir_listen_key key{.netns_cookie = pod.record.netns_cookie,
                        .port = port_class.first,
                        .family_class = port_class.second,
                        .zero = 0};
    auto adjusted = programs.adjust(key, difference);
    if (adjusted && !*adjusted) {
      (void)maps.listening.set(key, 0, BPF_NOEXIST);  // EEXIST: a listen() was quicker
      adjusted = programs.adjust(key, difference);
    }
    if (!adjusted) return std::unexpected(adjusted.error());
    if (!*adjusted) return fail(Source::kernel, Reason::out_of_memory, "the map of listening ports is full");
    ++corrected;
  }
  return corrected;
}

Result<std::set<uint64_t>> living_cookies() {
  auto sockets = tcp_sockets(connected_states);
  if (!sockets) return std::unexpected(sockets.error());
  std::set<uint64_t> cookies;
  for (const DiagSocket& socket : *sockets) cookies.insert(socket.cookie);
  return cookies;
}

}  // namespace

std::expected<Reconciliation, Error> Redirect::reconcile() {
  Reconciliation done;
  Maps& maps = impl_->maps;
  for (auto& [uid, pod] : impl_->pods) {
    if (Status seeded = impl_->seed(pod); !seeded) return std::unexpected(seeded.error());
    auto corrected = correct_counts(maps, impl_->programs, pod);
    if (!corrected) return std::unexpected(corrected.error());
    done.listen_counts_corrected += *corrected;
  }

  // The entries first, then the sockets: an entry that is listed belongs to a socket that was there before the dump.
  std::vector<std::pair<weir_tuple, weir_exemption>> entries;
  for (const weir_tuple& tuple : maps.exempt.keys())
    if (auto exemption = maps.exempt.get(tuple)) entries.emplace_back(tuple, *exemption);
  if (entries.empty()) return done;
  std::set<uint64_t> living;
  auto own = in_netns(impl_->node_netns.get(), [] { return living_cookies(); });
  if (!own) return std::unexpected(own.error());
  living.merge(*own);
  for (auto& [uid, pod] : impl_->pods) {
    auto cookies = in_netns(pod.netns.get(), [] { return living_cookies(); });
    if (!cookies) return std::unexpected(cookies.error());
    living.merge(*cookies);
  }
  for (const auto& [tuple, exemption] : entries) {
    if (living.contains(exemption.socket_cookie)) continue;
    auto now = maps.exempt.get(tuple);
    if (!now || now->socket_cookie != exemption.socket_cookie) continue;
    if (Status erased = maps.exempt.erase(tuple); !erased) return std::unexpected(erased.error());
    ++done.exempt_entries_swept;
  }
  return done;
}

std::expected<uint64_t, Error> Redirect::destroy_old_connections(std::string_view uid) {
  return visit_old_connections(uid, true);
}

std::expected<uint64_t, Error> Redirect::old_connections(std::string_view uid) {
  return visit_old_connections(uid, false);
}

std::expected<uint64_t, Error> Redirect::visit_old_connections(std::string_view uid, bool destroy) {
  auto found = impl_->need(uid);
  if (!found) return std::unexpected(found.error());
  const Pod& pod = **found;
  const Maps& maps = impl_->maps;
  std::set<Ip> own(pod.record.addresses.begin(), pod.record.addresses.end());
  auto bypasses = [&](const DiagSocket& socket) {
    if (socket.mark & WEIR_MARK_CAPTURED) return false;    // looped, either end
    if (maps.cgroups.get(socket.cgroup_id)) return false;  // a proxy's, or accepted from the agent's listener
    if (socket.remote.ip.is_loopback() || socket.remote.ip.is_link_local() || own.contains(socket.remote.ip))
      return false;
    weir_tuple tuple{.netns_cookie = pod.record.netns_cookie,
                     .source = to_abi(socket.remote.ip),
                     .destination = to_abi(socket.local.ip),
                     .source_port = socket.remote.port,
                     .destination_port = socket.local.port,
                     .zero = 0};
    return !maps.exempt.get(tuple);  // kubelet's probes stay
  };
  return in_netns(pod.netns.get(), [&]() -> Result<uint64_t> {
    auto sockets = tcp_sockets(living_states);
    if (!sockets) return std::unexpected(sockets.error());
    uint64_t old = 0;
    for (const DiagSocket& socket : *sockets) {
      if (!bypasses(socket)) continue;
      if (destroy)
        if (Status ended = destroy_socket(socket); !ended) return std::unexpected(ended.error());
      ++old;
    }
    return old;
  });
}

RedirectCounters Redirect::counters() const {
  const Maps& maps = impl_->maps;
  RedirectCounters all;
  const std::pair<weir_counter, uint64_t*> fields[] = {
      {WEIR_COUNT_CONNECT_CAPTURED, &all.connects_captured},
      {WEIR_COUNT_CONNECT_REFUSED, &all.connects_refused},
      {WEIR_COUNT_CONNECT_DEVICE_CLEARED, &all.connects_device_cleared},
      {WEIR_COUNT_CONNECT_DEVICE_REFUSED, &all.connects_device_refused},
      {WEIR_COUNT_CONNECT_OWN_ADDRESS, &all.connects_own_address},
      {WEIR_COUNT_BIND_REFUSED, &all.binds_refused},
      {WEIR_COUNT_STEERED_OUTBOUND, &all.steered_outbound},
      {WEIR_COUNT_STEERED_INBOUND, &all.steered_inbound},
      {WEIR_COUNT_STEERED_EXEMPT, &all.steered_exempt},
      {WEIR_COUNT_DROPPED_NO_LISTENER, &all.dropped_no_listener},
      {WEIR_COUNT_DROPPED_CLOSED_PORT, &all.dropped_closed_port},
      {WEIR_COUNT_DROPPED_LISTENER_PORT, &all.dropped_listener_port},
      {WEIR_COUNT_EXEMPT_ADDED, &all.exempt_added},
      {WEIR_COUNT_EXEMPT_REMOVED, &all.exempt_removed},
      {WEIR_COUNT_EXEMPT_FAILED, &all.exempt_failed},
      {WEIR_COUNT_LISTEN_UP, &all.listen_up},
      {WEIR_COUNT_LISTEN_DOWN, &all.listen_down},
      {WEIR_COUNT_LISTEN_FAILED, &all.listen_failed},
  };
  static_assert(std::size(fields) == WEIR_COUNTERS);
  for (const auto& [which, field] : fields) *field = maps.counter(which);
  all.exempt_entries = maps.exempt.keys().size();
  for (const weir_listen_key& key : maps.listening.keys())
    all.listening_ports += maps.listening.get(key).value_or(0) > 0;
  all.pods_armed = maps.pods.keys().size();
  return all;
}

}  // namespace weir::agent

// cgroup/connect4 and connect6: every connect() of the node passes here, before a route or a port is chosen.
//
// A captured pod's TCP socket that is not a proxy's gets bit M into its mark, so that its SYN loops to the pod's
// outbound listener (rule and route of agent/redirect/routes.cc, then steer.bpf.c). What stays alone: loopback,
// link-local, the pod's own addresses, UDP, other namespaces. If nobody listens, connect() is refused here: a looped
// IPv4 SYN that steer drops would time out, because its RST has no local source.
// In the node's own namespace the hook only decides, for connections to this node's pods, whether the caller is the
// node itself (kubelet's probes) or a hostNetwork pod; sockops.bpf.c acts on that.
#include "bpf/address.h"
#include "bpf/maps.h"
#include "bpf/owner.h"

const volatile __u64 node_cookie = 0;     // network namespace of the node
const volatile __u64 kubepods_id = 0;     // cgroup that holds all pods, 0 if there is none
const volatile __u32 kubepods_level = 0;  // its depth below the cgroup root

static __always_inline int refuse(void) {
  count(WEIR_COUNT_CONNECT_REFUSED);
  bpf_set_retval(-ECONNREFUSED);
  return 0;
}

// Sets or clears bit M and keeps the application's own mark. False when the kernel refuses.
static __always_inline bool mark(struct bpf_sock_addr* ctx, bool captured) {
  __u32 value = 0;
  if (bpf_getsockopt(ctx, SOL_SOCKET, SO_MARK, &value, sizeof(value))) return false;
  __u32 wanted = captured ? value | WEIR_MARK_CAPTURED : value & ~WEIR_MARK_CAPTURED;
  return wanted == value || !bpf_setsockopt(ctx, SOL_SOCKET, SO_MARK, &wanted, sizeof(wanted));
}

static __always_inline int node_connect(struct bpf_sock_addr* ctx, const struct weir_address* to) {
  struct bpf_sock* sk = ctx->sk;
  if (!sk) return 1;
  bool known = bpf_map_lookup_elem(&addresses, to);
  struct weir_socket* socket = bpf_sk_storage_get(&sockets, sk, 0, known ? BPF_SK_STORAGE_GET_F_CREATE : 0);
  if (!socket) return 1;
  socket->node_connection =
      known && !(kubepods_id && bpf_get_current_ancestor_cgroup_id(kubepods_level) == kubepods_id);
  return 1;
}

static __always_inline int gate(struct bpf_sock_addr* ctx, const struct weir_address* to) {
  __u64 cookie = bpf_get_netns_cookie(ctx);
  if (cookie == node_cookie) return node_connect(ctx, to);
  struct weir_pod* pod = bpf_map_lookup_elem(&pods, &cookie);
  if (!pod) return 1;
  struct bpf_sock* sk = ctx->sk;
  if (!sk) return refuse();
  if (owner_of(sk) == WEIR_CGROUP_PROXY) return 1;

  // A socket can be connected again, elsewhere: a mark from before must go.
  if (is_loopback(to) || is_link_local(to) || is_unspecified(to)) return mark(ctx, false);
  __u64* owner = bpf_map_lookup_elem(&addresses, to);
  if (owner && *owner == cookie) {
    count(WEIR_COUNT_CONNECT_OWN_ADDRESS);
    return mark(ctx, false);
  }

  if (!(pod->flags & WEIR_POD_ARMED)) return refuse();
  __u32 slot = pod->outbound_slot;
  struct bpf_sock* listener = bpf_map_lookup_elem(&listeners, &slot);
  if (!listener) return refuse();
  bool listens = listener->state == BPF_TCP_LISTEN;
  bpf_sk_release(listener);
  if (!listens) return refuse();

  // A device would take the SYN past the route through lo. Only with CAP_NET_RAW may it be taken off.
  if (sk->bound_dev_if) {
    char none[4] = {};
    if (bpf_setsockopt(ctx, SOL_SOCKET, SO_BINDTODEVICE, none, 1)) {
      count(WEIR_COUNT_CONNECT_DEVICE_REFUSED);
      return 0;
    }
    count(WEIR_COUNT_CONNECT_DEVICE_CLEARED);
  }
  if (!mark(ctx, true)) return refuse();
  count(WEIR_COUNT_CONNECT_CAPTURED);
  return 1;
}

SEC("cgroup/connect4")
int weir_connect4(struct bpf_sock_addr* ctx) {
  if (!is_tcp(ctx->protocol)) return 1;
  struct weir_address to;
  set_address4(&to, ctx->user_ip4);
  return gate(ctx, &to);
}

SEC("cgroup/connect6")
int weir_connect6(struct bpf_sock_addr* ctx) {
  if (!is_tcp(ctx->protocol)) return 1;
  __u32 w0 = ctx->user_ip6[0], w1 = ctx->user_ip6[1], w2 = ctx->user_ip6[2], w3 = ctx->user_ip6[3];
  struct weir_address to;
  set_address6(&to, w0, w1, w2, w3);
  return gate(ctx, &to);
}

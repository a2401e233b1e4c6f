// sockops: a socket begins to listen, or is about to send its SYN.
//
// TCP_LISTEN_CB counts the socket for its port (listen.h), so that steer can refuse closed ports.
// TCP_CONNECT_CB comes when the 4-tuple is fixed and before the SYN leaves: the tuple is entered in `exempt` for
//   - a proxy's socket with bit E: it faces an application, in its own namespace or, for flows between two pods of
//     one node, in the destination's (known by the address);
//   - an application that dials its own pod;
//   - the node's own sockets to this node's pods, as connect.bpf.c decided.
// sock_state.bpf.c takes the entry away with the socket. No callback flag is set: other programs may overwrite them.
#include "bpf/address.h"
#include "bpf/listen.h"
#include "bpf/maps.h"
#include "bpf/owner.h"

const volatile __u64 node_cookie = 0;

static __always_inline void on_listen(struct bpf_sock_ops* ctx, struct bpf_sock* sk) {
  __u64 cookie = bpf_get_netns_cookie(ctx);
  struct weir_namespace* ns = bpf_map_lookup_elem(&namespaces, &cookie);
  if (!ns) return;
  __u32 port = ctx->local_port;
  struct tcp_sock* tcp = bpf_skc_to_tcp_sock(sk);
  struct weir_socket* socket = bpf_sk_storage_get(&sockets, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
  if (tcp && socket)
    count_listener(ns, socket, cookie, port, listen_classes(tcp));
  else
    unseed(ns);
}

static __always_inline void read_tuple(struct bpf_sock_ops* ctx, struct weir_tuple* tuple) {
  __u32 family = ctx->family, remote_port = ctx->remote_port, local_port = ctx->local_port;
  __u32 r0 = ctx->remote_ip6[0], r1 = ctx->remote_ip6[1], r2 = ctx->remote_ip6[2], r3 = ctx->remote_ip6[3];
  __u32 l0 = ctx->local_ip6[0], l1 = ctx->local_ip6[1], l2 = ctx->local_ip6[2], l3 = ctx->local_ip6[3];
  __u32 r4 = ctx->remote_ip4, l4 = ctx->local_ip4;
  tuple->source_port = local_port;
  tuple->destination_port = bpf_ntohl(remote_port);
  if (family == AF_INET || (!r0 && !r1 && r2 == bpf_htonl(0xffff))) {
    set_address4(&tuple->source, l4);
    set_address4(&tuple->destination, r4);
  } else {
    set_address6(&tuple->source, l0, l1, l2, l3);
    set_address6(&tuple->destination, r0, r1, r2, r3);
  }
}

static __always_inline void on_connect(struct bpf_sock_ops* ctx, struct bpf_sock* sk) {
  __u64 cookie = bpf_get_netns_cookie(ctx);
  struct weir_tuple tuple = {};
  read_tuple(ctx, &tuple);
  __u64* known = bpf_map_lookup_elem(&addresses, &tuple.destination);
  __u64 owner = known ? *known : 0;
  struct weir_socket* socket;
  if (cookie == node_cookie) {
    if (!owner) return;
    socket = bpf_sk_storage_get(&sockets, sk, 0, 0);
    if (!socket || !socket->node_connection) return;
  } else {
    bool faces_application = (sk->mark & WEIR_MARK_EXEMPT) && owner_of(sk) == WEIR_CGROUP_PROXY;
    if (owner != cookie && !faces_application) return;
    socket = bpf_sk_storage_get(&sockets, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
    if (!socket) {
      count(WEIR_COUNT_EXEMPT_FAILED);
      return;
    }
  }
  // An address that is not in the map (a second network of the pod) is dialled in the pod itself.
  tuple.netns_cookie = owner ? owner : cookie;

  struct weir_exemption exemption = {.owner_netns_cookie = cookie,
                                     .socket_cookie = bpf_get_socket_cookie(ctx),
                                     .born_ns = bpf_ktime_get_ns()};
  if (bpf_map_update_elem(&exempt, &tuple, &exemption, BPF_ANY)) {
    count(WEIR_COUNT_EXEMPT_FAILED);
    return;
  }
  socket->exempt = tuple;
  socket->exempted = 1;
  count(WEIR_COUNT_EXEMPT_ADDED);
}

SEC("sockops")
int weir_sockops(struct bpf_sock_ops* ctx) {
  __u32 op = ctx->op;
  if (op != BPF_SOCK_OPS_TCP_LISTEN_CB && op != BPF_SOCK_OPS_TCP_CONNECT_CB) return 1;
  struct bpf_sock* sk = ctx->sk;  // once: the verifier forgets the null check of a second read
  if (!sk) return 1;
  if (op == BPF_SOCK_OPS_TCP_LISTEN_CB)
    on_listen(ctx, sk);
  else
    on_connect(ctx, sk);
  return 1;
}

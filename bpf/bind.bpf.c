// cgroup/bind4 and bind6: the port of the in-pod listeners belongs to Weir.
//
// Without this a process of the pod with the agent's uid could join the SO_REUSEPORT group, or hold the port while
// the agent restarts. The answer is EADDRINUSE, which is what it looks like. Guarded from prepare to remove, for
// every socket that was not made in the cgroup of the agent or of a proxy.
#include "bpf/maps.h"
#include "bpf/owner.h"

static __always_inline int guard(struct bpf_sock_addr* ctx) {
  if (!is_tcp(ctx->protocol)) return 1;
  __u64 cookie = bpf_get_netns_cookie(ctx);
  struct weir_namespace* ns = bpf_map_lookup_elem(&namespaces, &cookie);
  if (!ns) return 1;
  __u16 port = ctx->user_port;
  if (bpf_ntohs(port) != ns->listener_port) return 1;
  struct bpf_sock* sk = ctx->sk;
  if (sk && owner_of(sk)) return 1;
  count(WEIR_COUNT_BIND_REFUSED);
  bpf_set_retval(-EADDRINUSE);
  return 0;
}

SEC("cgroup/bind4")
int weir_bind4(struct bpf_sock_addr* ctx) { return guard(ctx); }

SEC("cgroup/bind6")
int weir_bind6(struct bpf_sock_addr* ctx) { return guard(ctx); }

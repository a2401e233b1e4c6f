// iter/tcp: the sockets of a pod that listened before Weir looked.
//
// Read once by the agent inside the pod's namespace, after the hooks are in place; then, if nothing was counted as
// failed, the pod is `seeded`. Sockets already counted are left alone, so reading it again (reconciliation) only adds
// what was missed. The kernel holds the socket's lock meanwhile.
#include "bpf/listen.h"
#include "bpf/maps.h"

SEC("iter/tcp")
int weir_seed(struct bpf_iter__tcp* ctx) {
  struct sock_common* common = ctx->sk_common;
  if (!common || common->skc_state != BPF_TCP_LISTEN) return 0;
  struct tcp_sock* tcp = bpf_skc_to_tcp_sock(common);
  if (!tcp) return 0;
  __u64 cookie = BPF_CORE_READ(common, skc_net.net, net_cookie);
  struct weir_namespace* ns = bpf_map_lookup_elem(&namespaces, &cookie);
  if (!ns) return 0;
  struct weir_socket* socket =
      bpf_sk_storage_get(&sockets, (struct sock*)tcp, 0, BPF_SK_STORAGE_GET_F_CREATE);
  if (socket)
    count_listener(ns, socket, cookie, common->skc_num, listen_classes(tcp));
  else
    unseed(ns);
  return 0;
}

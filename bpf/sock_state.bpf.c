// tp_btf/inet_sock_set_state: a socket's end takes with it what was entered for it.
//
// Transition to TCP_CLOSE: the exempt tuple goes. Not earlier: the ACK of a syncookie looks the listener up again.
// From TCP_LISTEN: the counted port goes down. What to undo comes from the socket's storage and never from the
// socket, whose ports are already 0 here. Both are done at most once, so that during an upgrade the old and the new
// program may run side by side (a raw tracepoint link cannot be updated in place).
#include "bpf/listen.h"
#include "bpf/maps.h"

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(weir_sock_state, struct sock* sk, int old_state, int new_state) {
  if (new_state != BPF_TCP_CLOSE && old_state != BPF_TCP_LISTEN) return 0;
  struct weir_socket* socket = bpf_sk_storage_get(&sockets, sk, 0, 0);
  if (!socket) return 0;
  if (old_state == BPF_TCP_LISTEN && new_state != BPF_TCP_LISTEN) {
    __u32 classes = __sync_lock_test_and_set(&socket->listen_classes, 0);
    __u64 cookie = sk->__sk_common.skc_net.net->net_cookie;
    struct weir_namespace* ns = bpf_map_lookup_elem(&namespaces, &cookie);
    if (classes && ns && socket->listen_generation == ns->generation)
      add_classes(ns, cookie, socket->listen_port, classes, -1);
  }
  if (new_state == BPF_TCP_CLOSE && __sync_lock_test_and_set(&socket->exempted, 0)) {
    struct weir_tuple tuple = socket->exempt;
    if (!bpf_map_delete_elem(&exempt, &tuple)) count(WEIR_COUNT_EXEMPT_REMOVED);
  }
  return 0;
}

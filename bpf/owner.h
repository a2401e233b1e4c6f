// Whose socket is it: the cgroup of the task that called socket().
//
// Read from the socket, never from the current task, a mark or a uid: accepted children inherit it, io_uring workers
// keep it, and no container can change it. Used by connect, bind and sockops.
#pragma once

#include "bpf/maps.h"

// WEIR_CGROUP_PROXY, WEIR_CGROUP_AGENT or 0. An MPTCP socket is nobody's: proxies make none.
static __always_inline __u32 owner_of(struct bpf_sock* sk) {
  struct tcp_sock* tcp = bpf_skc_to_tcp_sock(sk);
  if (!tcp) return 0;
  __u64 id = BPF_CORE_READ(tcp, inet_conn.icsk_inet.sk.sk_cgrp_data.cgroup, kn, id);
  __u32* kind = bpf_map_lookup_elem(&cgroups, &id);
  return kind ? *kind : 0;
}

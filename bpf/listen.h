// Counting listening sockets, once each, up: shared by sockops (a socket begins to listen) and seed (a socket that
// listened before Weir looked). sock_state.bpf.c counts down.
//
// The storage of the socket says what was counted, so both may see the same socket in any order. Too low a count is
// an outage and too high one only accept-then-reset: if the map cannot take a port, the namespace becomes unseeded,
// and steer then gives every port to the proxy.
#pragma once

#include "bpf/address.h"
#include "bpf/maps.h"

#define LISTENS_IPV4 1u
#define LISTENS_IPV6 2u

// For which families a socket listens to the outside; 0 when its address is loopback.
static __always_inline __u32 listen_classes(struct tcp_sock* tcp) {
  struct sock* sk = &tcp->inet_conn.icsk_inet.sk;
  if (BPF_CORE_READ(sk, __sk_common.skc_family) == AF_INET)
    return is_loopback4(BPF_CORE_READ(sk, __sk_common.skc_rcv_saddr)) ? 0 : LISTENS_IPV4;
  struct weir_address at = {};
  BPF_CORE_READ_INTO(&at.word, sk, __sk_common.skc_v6_rcv_saddr.in6_u.u6_addr32);
  if (is_loopback(&at)) return 0;
  if (is_mapped4(&at)) return LISTENS_IPV4;
  bool any = !at.word[0] && !at.word[1] && !at.word[2] && !at.word[3];
  if (any && !BPF_CORE_READ_BITFIELD_PROBED(sk, __sk_common.skc_ipv6only)) return LISTENS_IPV4 | LISTENS_IPV6;
  return LISTENS_IPV6;
}

// Without a place for a count, nothing may be refused for lack of one.
static __always_inline void unseed(struct weir_namespace* ns) {
  ns->seeded = 0;
  count(WEIR_COUNT_LISTEN_FAILED);
}

static __always_inline void add_listener(struct weir_namespace* ns, __u64 cookie, __u32 port,
                                         __u32 family_class, __s64 delta) {
  struct weir_listen_key key = {.netns_cookie = cookie, .port = port, .family_class = family_class};
  __s64* total = bpf_map_lookup_elem(&listening, &key);
  if (!total && delta > 0) {
    __s64 zero = 0;
    bpf_map_update_elem(&listening, &key, &zero, BPF_NOEXIST);
    total = bpf_map_lookup_elem(&listening, &key);
  }
  if (total) {
    __sync_fetch_and_add(total, delta);
    count(delta > 0 ? WEIR_COUNT_LISTEN_UP : WEIR_COUNT_LISTEN_DOWN);
  } else if (delta > 0) {
    unseed(ns);
  }
}

static __always_inline void add_classes(struct weir_namespace* ns, __u64 cookie, __u32 port, __u32 classes,
                                        __s64 delta) {
  if (classes & LISTENS_IPV4) add_listener(ns, cookie, port, WEIR_CLASS_IPV4, delta);
  if (classes & LISTENS_IPV6) add_listener(ns, cookie, port, WEIR_CLASS_IPV6, delta);
}

// Under the socket's lock, so once is enough to look.
static __always_inline void count_listener(struct weir_namespace* ns, struct weir_socket* socket,
                                           __u64 cookie, __u32 port, __u32 classes) {
  if (!classes || (socket->listen_classes && socket->listen_generation == ns->generation)) return;
  socket->listen_generation = ns->generation;
  socket->listen_port = port;
  socket->listen_classes = classes;
  add_classes(ns, cookie, port, classes, 1);
}

// What kernel and user space agree on: the keys and values of every map, marks, ranges and counters.
//
// Plain C, included by the programs in bpf/ (after vmlinux.h) and by agent/redirect (C++). The
// sizes are asserted on both sides, because a pinned map outlives the process that made it: a new
// agent adopts maps written by an older one. WEIR_SCHEMA is part of the pin path; raise it whenever
// a key, a value or the meaning of a flag changes.
// Addresses are always 16 bytes in network order; IPv4 is v4-mapped (::ffff:a.b.c.d), so that one
// key serves both families and v4-mapped sockets. Ports are in host order.
#pragma once

#ifdef __bpf__
#include "vmlinux.h"
#else
#include <linux/types.h>
#endif

#define WEIR_SCHEMA 1

// Bit M: the packet is looped to the listeners of its pod. Set by connect4/6 on applications' sockets and
// by the proxy on its sockets towards applications; ip rule WEIR_RULE_PRIORITY sends it to WEIR_TABLE.
#define WEIR_MARK_CAPTURED 0x10000000u
// Bit E: this socket of a proxy faces an application, so its 4-tuple is exempt in the namespace it dials.
// Honoured only for sockets made in a proxy's cgroup: any container with CAP_NET_RAW can set a mark.
#define WEIR_MARK_EXEMPT 0x20000000u

#define WEIR_TABLE 0x77e1u
#define WEIR_RULE_PRIORITY 77u
// Behind it: a marked packet that did not loop, because somebody deleted that rule or route, is unreachable.
#define WEIR_BARRIER_PRIORITY 78u

// First port tried for the in-pod listeners, and how many after it.
#define WEIR_LISTENER_PORT 15001u
#define WEIR_LISTENER_PORTS_MAX 64u

#define WEIR_PODS_MAX 4096u
#define WEIR_SLOTS_PER_POD 2u
#define WEIR_ADDRESSES_MAX 16384u
#define WEIR_LISTEN_PORTS_MAX 131072u
#define WEIR_EXEMPT_MAX 131072u
#define WEIR_CGROUPS_MAX 64u

struct weir_address {
  __u32 word[4];
};

// Map `pods`: network-namespace cookie → a captured pod. Present means: captured.
struct weir_pod {
  __u32 outbound_slot;  // in the SOCKMAP `listeners`; the inbound one is outbound_slot + 1
  __u32 flags;          // WEIR_POD_*
};
#define WEIR_POD_ARMED 1u  // rule, route, sysctls and listeners are in place; while clear connect4/6 refuse

// Map `namespaces`: cookie → a namespace being prepared or captured. Listeners are counted here and the
// listener port is guarded from before the pod is captured until after it is released.
struct weir_namespace {
  __u32 listener_port;
  __u32 seeded;      // 1: the LISTEN map is complete, so a port that is not in it refuses
  __u64 generation;  // new at every prepare: what a socket's storage says of an older one does not count
};

// Map `exempt`: this exact SYN is left alone in this namespace.
struct weir_tuple {
  __u64 netns_cookie;  // of the namespace the SYN arrives in
  struct weir_address source;
  struct weir_address destination;
  __u16 source_port;
  __u16 destination_port;
  __u32 zero;
};

struct weir_exemption {
  __u64 owner_netns_cookie;  // namespace of the connecting socket
  __u64 socket_cookie;       // of the connecting socket; the sweep looks for it with sock_diag
  __u64 born_ns;             // CLOCK_MONOTONIC
};

// Map `listening`: how many sockets listen on a port, per family class. The value is a __s64.
struct weir_listen_key {
  __u64 netns_cookie;
  __u16 port;
  __u16 family_class;  // WEIR_CLASS_*
  __u32 zero;
};
#define WEIR_CLASS_IPV4 4u
#define WEIR_CLASS_IPV6 6u

// Socket storage `sockets`: what the hooks remember of one socket.
struct weir_socket {
  struct weir_tuple exempt;
  __u32 exempted;         // 1: `exempt` is in the map, and goes with this socket
  __u32 listen_classes;   // bit 0: counted for IPv4, bit 1: for IPv6
  __u32 listen_port;      // the counted port; skc_num is 0 by the time an autobound listener closes
  __u32 node_connection;  // 1: connect() decided that this is the node's own (kubelet's), not a pod's
  __u64 listen_generation;
};

// Map `cgroups`: cgroup v2 id → whose sockets these are.
#define WEIR_CGROUP_PROXY 1u  // never captured; its sockets with bit E are exempt; may bind the listener port
#define WEIR_CGROUP_AGENT 2u  // may bind the listener port

// Per-CPU array `counters`.
enum weir_counter {
  WEIR_COUNT_CONNECT_CAPTURED = 0,
  WEIR_COUNT_CONNECT_REFUSED,         // no listener in the slot, or the pod is not armed
  WEIR_COUNT_CONNECT_DEVICE_CLEARED,  // SO_BINDTODEVICE taken off
  WEIR_COUNT_CONNECT_DEVICE_REFUSED,  // … and could not be
  WEIR_COUNT_CONNECT_OWN_ADDRESS,
  WEIR_COUNT_BIND_REFUSED,
  WEIR_COUNT_STEERED_OUTBOUND,
  WEIR_COUNT_STEERED_INBOUND,
  WEIR_COUNT_STEERED_EXEMPT,
  WEIR_COUNT_DROPPED_NO_LISTENER,
  WEIR_COUNT_DROPPED_CLOSED_PORT,
  WEIR_COUNT_DROPPED_LISTENER_PORT,
  WEIR_COUNT_EXEMPT_ADDED,
  WEIR_COUNT_EXEMPT_REMOVED,
  WEIR_COUNT_EXEMPT_FAILED,
  WEIR_COUNT_LISTEN_UP,
  WEIR_COUNT_LISTEN_DOWN,
  WEIR_COUNT_LISTEN_FAILED,  // the map was full: the namespace became unseeded
  WEIR_COUNTERS
};

// Argument of the syscall program that corrects a LISTEN count: added atomically.
struct weir_adjust {
  struct weir_listen_key key;
  __s64 delta;
};

#ifdef __cplusplus
#define WEIR_ABI_ASSERT(what) static_assert(what)
#else
#define WEIR_ABI_ASSERT(what) _Static_assert(what, #what)
#endif
WEIR_ABI_ASSERT(sizeof(struct weir_address) == 16);
WEIR_ABI_ASSERT(sizeof(struct weir_pod) == 8);
WEIR_ABI_ASSERT(sizeof(struct weir_namespace) == 16);
WEIR_ABI_ASSERT(sizeof(struct weir_tuple) == 48);
WEIR_ABI_ASSERT(sizeof(struct weir_exemption) == 24);
WEIR_ABI_ASSERT(sizeof(struct weir_listen_key) == 16);
WEIR_ABI_ASSERT(sizeof(struct weir_socket) == 72);
WEIR_ABI_ASSERT(sizeof(struct weir_adjust) == 24);

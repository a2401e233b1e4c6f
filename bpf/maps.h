// Every map of Weir: who writes, who reads, how large, how long it lives.
//
// Concept: each program object declares all maps; the loader (agent/redirect/programs.cc) pins them below the
// agent's own directory on bpffs, so that every object and every later agent shares one set. Lifetime, for all:
// from the first agent's start to `weir-agent uninstall`. Several agents on one kernel have a set each.
// The table of README.md says the same for people. Sizes and layouts: abi.h.
#pragma once

#include "bpf/abi.h"
#include "bpf/kernel.h"

// Captured pods. Writer: agent (arm, disarm). Readers: connect, steer. One entry per captured pod.
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, WEIR_PODS_MAX);
  __type(key, __u64);
  __type(value, struct weir_pod);
} pods SEC(".maps");

// Namespaces being prepared or captured. Writer: agent; sockops clears `seeded` when `listening` is full. Readers:
// bind, sockops, seed, steer. From prepare to remove.
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, WEIR_PODS_MAX);
  __type(key, __u64);
  __type(value, struct weir_namespace);
} namespaces SEC(".maps");

// Address → cookie of the pod of this node that has it. Writer: agent. Readers: connect, sockops (own address; in
// which namespace a SYN will arrive). From prepare to remove.
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, WEIR_ADDRESSES_MAX);
  __type(key, struct weir_address);
  __type(value, __u64);
} addresses SEC(".maps");

// Two slots a pod: member 0 of its outbound and of its inbound listener group. Writer: agent; the kernel empties a
// slot when its socket closes. Readers: connect (is anybody there?), steer.
struct {
  __uint(type, BPF_MAP_TYPE_SOCKMAP);
  __uint(max_entries, WEIR_PODS_MAX* WEIR_SLOTS_PER_POD);
  __type(key, __u32);
  __type(value, __u64);
} listeners SEC(".maps");

// cgroup v2 ids of proxies and of the agent. Writer: agent. Readers: connect, bind, sockops.
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, WEIR_CGROUPS_MAX);
  __type(key, __u64);
  __type(value, __u32);
} cgroups SEC(".maps");

// SYNs to leave alone. Writer: sockops (adds), sock_state (removes with the socket), agent (sweeps). Reader: steer.
// A hash, not LRU: an entry that outlives or precedes its socket is a hole or an outage.
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, WEIR_EXEMPT_MAX);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, struct weir_tuple);
  __type(value, struct weir_exemption);
} exempt SEC(".maps");

// Listening sockets per (namespace, port, family class). Writers: sockops and seed (up), sock_state (down), adjust
// (corrections), agent (deletes a namespace's). Reader: steer.
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, WEIR_LISTEN_PORTS_MAX);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, struct weir_listen_key);
  __type(value, __s64);
} listening SEC(".maps");

// What was counted and exempted for one socket. Writers: connect, sockops, seed. Reader: sock_state. An entry lives as
// long as its socket.
struct {
  __uint(type, BPF_MAP_TYPE_SK_STORAGE);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, int);
  __type(value, struct weir_socket);
} sockets SEC(".maps");

// enum weir_counter. Writers: every hook. Reader: agent.
struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, WEIR_COUNTERS);
  __type(key, __u32);
  __type(value, __u64);
} counters SEC(".maps");

static __always_inline void count(__u32 which) {
  __u64* value = bpf_map_lookup_elem(&counters, &which);
  if (value) ++*value;
}

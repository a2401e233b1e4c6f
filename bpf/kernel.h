// The kernel's types and helpers as every program of Weir uses them, and the constants that BTF does not carry.
//
// vmlinux.h is generated from the running kernel's BTF at build time and never committed; fields that moved between
// kernels are read through CO-RE. The file is included by BPF programs only.
#pragma once

#include "vmlinux.h"
// After vmlinux.h: these use its types.
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

// The kernel lends some helpers only to programs that are also under the GPL; so these are (README.md).
char weir_license[] SEC("license") = "Dual BSD/GPL";

#define AF_INET 2
#define AF_INET6 10
#define SOL_SOCKET 1
#define SO_BINDTODEVICE 25
#define SO_MARK 36
#define ECONNREFUSED 111
#define EADDRINUSE 98
#define LOOPBACK_IFINDEX 1

static __always_inline bool is_tcp(__u32 protocol) {
  return protocol == IPPROTO_TCP || protocol == IPPROTO_MPTCP;
}

// 127/8 of an IPv4 address in network order.
static __always_inline bool is_loopback4(__u32 address) {
  return (address & bpf_htonl(0xff000000)) == bpf_htonl(0x7f000000);
}

// Addresses in the form of abi.h: 16 bytes, IPv4 as v4-mapped, so that AF_INET sockets, v4-mapped AF_INET6 sockets
// and packets meet in one key. Pure functions on values already read from a context: the verifier wants context
// fields read into locals first.
#pragma once

#include "bpf/abi.h"
#include "bpf/kernel.h"

static __always_inline void set_address4(struct weir_address* out, __u32 address) {
  out->word[0] = 0;
  out->word[1] = 0;
  out->word[2] = bpf_htonl(0xffff);
  out->word[3] = address;
}

static __always_inline void set_address6(struct weir_address* out, __u32 w0, __u32 w1, __u32 w2, __u32 w3) {
  out->word[0] = w0;
  out->word[1] = w1;
  out->word[2] = w2;
  out->word[3] = w3;
}

static __always_inline bool is_mapped4(const struct weir_address* a) {
  return !a->word[0] && !a->word[1] && a->word[2] == bpf_htonl(0xffff);
}

// 127/8 or ::1.
static __always_inline bool is_loopback(const struct weir_address* a) {
  if (is_mapped4(a)) return is_loopback4(a->word[3]);
  return !a->word[0] && !a->word[1] && !a->word[2] && a->word[3] == bpf_htonl(1);
}

// 0.0.0.0 or ::, which connect() takes as "this host".
static __always_inline bool is_unspecified(const struct weir_address* a) {
  return !a->word[0] && !a->word[1] && !a->word[3] && (!a->word[2] || a->word[2] == bpf_htonl(0xffff));
}

// 169.254/16 or fe80::/10.
static __always_inline bool is_link_local(const struct weir_address* a) {
  if (is_mapped4(a)) return (a->word[3] & bpf_htonl(0xffff0000)) == bpf_htonl(0xa9fe0000);
  return (a->word[0] & bpf_htonl(0xffc00000)) == bpf_htonl(0xfe800000);
}

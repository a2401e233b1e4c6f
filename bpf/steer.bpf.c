// sk_lookup: which socket gets a SYN that arrives in a pod. One instance per pod, its facts as constants, because
// bpf_get_netns_cookie does not exist here.
//
// The order (capture.md): not captured → pass; loopback → pass; exempt tuple → pass; came through lo → the outbound
// listener; otherwise inbound: the listener's own port → drop; a port somebody listens on, or a pod not yet seeded →
// the inbound listener; else drop, which answers RST. Established connections never come here.
// Fail closed: no listener in the slot is SK_DROP, said explicitly. SK_PASS without a socket would fall through to
// the application, in plaintext, and pinned links go on existing when every process of Weir has died.
#include "bpf/address.h"
#include "bpf/maps.h"

const volatile __u64 netns_cookie = 0;
const volatile __u32 outbound_slot = 0;
const volatile __u32 inbound_slot = 0;
const volatile __u32 listener_port = 0;

static __always_inline void read_tuple(struct bpf_sk_lookup* ctx, struct weir_tuple* tuple) {
  __u32 family = ctx->family;
  __u16 remote_port = ctx->remote_port;
  tuple->netns_cookie = netns_cookie;
  tuple->source_port = bpf_ntohs(remote_port);
  tuple->destination_port = ctx->local_port;
  if (family == AF_INET) {
    __u32 l4 = ctx->local_ip4, r4 = ctx->remote_ip4;
    barrier_var(
        l4);  // else the compiler merges the branches' loads into one through a changed context pointer
    barrier_var(r4);
    set_address4(&tuple->source, r4);
    set_address4(&tuple->destination, l4);
  } else {
    __u32 r0 = ctx->remote_ip6[0], r1 = ctx->remote_ip6[1], r2 = ctx->remote_ip6[2], r3 = ctx->remote_ip6[3];
    __u32 l0 = ctx->local_ip6[0], l1 = ctx->local_ip6[1], l2 = ctx->local_ip6[2], l3 = ctx->local_ip6[3];
    set_address6(&tuple->source, r0, r1, r2, r3);
    set_address6(&tuple->destination, l0, l1, l2, l3);
  }
}

static __always_inline int drop(__u32 why) {
  count(why);
  return SK_DROP;
}

static __always_inline int give_to(struct bpf_sk_lookup* ctx, __u32 slot, __u32 counted_as) {
  struct bpf_sock* listener = bpf_map_lookup_elem(&listeners, &slot);
  if (!listener) return drop(WEIR_COUNT_DROPPED_NO_LISTENER);
  long error = bpf_sk_assign(ctx, listener, 0);
  bpf_sk_release(listener);
  if (error) return drop(WEIR_COUNT_DROPPED_NO_LISTENER);
  count(counted_as);
  return SK_PASS;
}

SEC("sk_lookup")
int weir_steer(struct bpf_sk_lookup* ctx) {
  if (ctx->protocol != IPPROTO_TCP) return SK_PASS;
  __u64 cookie = netns_cookie;
  if (!bpf_map_lookup_elem(&pods, &cookie)) return SK_PASS;
  struct weir_tuple tuple = {};
  read_tuple(ctx, &tuple);
  if (is_loopback(&tuple.destination)) return SK_PASS;
  if (bpf_map_lookup_elem(&exempt, &tuple)) {
    count(WEIR_COUNT_STEERED_EXEMPT);
    return SK_PASS;
  }
  if (ctx->ingress_ifindex == LOOPBACK_IFINDEX)
    return give_to(ctx, outbound_slot, WEIR_COUNT_STEERED_OUTBOUND);
  if (tuple.destination_port == listener_port) return drop(WEIR_COUNT_DROPPED_LISTENER_PORT);

  struct weir_namespace* ns = bpf_map_lookup_elem(&namespaces, &cookie);
  if (ns && ns->seeded) {
    struct weir_listen_key key = {
        .netns_cookie = cookie,
        .port = tuple.destination_port,
        .family_class = is_mapped4(&tuple.destination) ? WEIR_CLASS_IPV4 : WEIR_CLASS_IPV6,
    };
    __s64* total = bpf_map_lookup_elem(&listening, &key);
    if (!total || *total <= 0) return drop(WEIR_COUNT_DROPPED_CLOSED_PORT);
  }
  return give_to(ctx, inbound_slot, WEIR_COUNT_STEERED_INBOUND);
}

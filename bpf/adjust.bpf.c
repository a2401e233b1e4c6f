// syscall program, run by the agent's reconciliation: adds a correction to one LISTEN count.
//
// User space cannot add atomically to a map value, and a plain write would lose a listen() or close() that happens
// meanwhile. The difference between counted and real sockets is constant under those, so adding it is safe.
#include "bpf/maps.h"

SEC("syscall")
int weir_adjust(struct weir_adjust* argument) {
  struct weir_listen_key key = argument->key;
  __s64 delta = argument->delta;
  __s64* total = bpf_map_lookup_elem(&listening, &key);
  if (!total) return 1;
  __sync_fetch_and_add(total, delta);
  return 0;
}

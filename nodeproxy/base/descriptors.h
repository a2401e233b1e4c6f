#pragma once
// How many descriptors the process may have. Connections leave the last limits::reserved_descriptors of them alone: else
// whoever opens connections until there are none left also keeps the agent's link, new pods and the liveness probe from
// theirs, and the kubelet ends a proxy whose only fault is that it is full. The kernel gives the lowest number that is
// free (POSIX), so a number tells how many are taken.
// Thread: any.
#include <cstdint>

namespace weir {

// Raises the soft limit to the hard one, as container runtimes leave 1,024 for select(2)'s sake. Returns the limit.
uint64_t raise_descriptor_limit();
// How many more there may be beyond this one, which was just made; negative: it is beyond the limit (as is what was open
// when the limit came down). Of −1: beyond the next one.
int64_t descriptors_beyond(int fd);

}  // namespace weir

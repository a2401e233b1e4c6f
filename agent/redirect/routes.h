// The rule and the routes that loop marked packets inside a pod, for IPv4 and IPv6.
//
//   ip rule  priority 77 fwmark M/M lookup T
//   ip rule  priority 78 fwmark M/M unreachable         (the barrier: should the rule above or the route be deleted)
//   ip route local default dev lo src POD_IP table T     (without `src`, an unbound connect() would take the
//                                                         destination as its own source)
// A family in which the pod has no address gets `unreachable default` instead: marked sockets then see EHOSTUNREACH,
// as without a mesh, and nothing can leave past the proxy.
// All functions act on the calling thread's namespace (netns.h) and are idempotent. Thread: any.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "nodeproxy/base/error.h"
#include "nodeproxy/base/ip.h"

namespace weir::agent::redirect {

struct PodRoutes {
  std::optional<Ip> source4;  // the pod's first address of each family
  std::optional<Ip> source6;
};

Status install_routes(const PodRoutes& routes);
// Everything in table T and the rules. A family the kernel does not have counts as removed.
Status remove_routes();
// One sentence per thing that is not as install_routes leaves it.
Result<std::vector<std::string>> missing_routes(const PodRoutes& routes);
// Asks the kernel which way a marked packet to `destination` would take; true when it loops through table T.
Result<bool> loops(const Ip& destination);

}  // namespace weir::agent::redirect

#pragma once
// Who dials whom: what lanes, and the tickets to resume them with, are kept by. Beside it stands the Context's generation:
// own certificate and trust bundle.
// Thread: values.
#include <cstddef>
#include <functional>
#include <string>

#include "nodeproxy/base/ip.h"

namespace weir::upstream {

struct LaneKey {
  std::string source_uid;
  Ip source;  // the pod's address that the lane comes from
  SocketAddress to;
  std::string identity;  // expected of the peer
  // The pod that it leads to (empty: none that the mesh knows). Its successor at the same address, perhaps of the same
  // identity, is another: this lane may have lost its other end without a word.
  std::string destination_uid;

  bool operator==(const LaneKey&) const = default;
};

struct LaneKeyHash {
  size_t operator()(const LaneKey& key) const {
    return std::hash<std::string>()(key.source_uid) * 31 + std::hash<SocketAddress>()(key.to);
  }
};

}  // namespace weir::upstream

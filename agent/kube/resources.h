#pragma once
// The kinds that are read from the API server. Thread: values.
#include <vector>

#include "agent/kube/reflector.h"

namespace weir::agent::kube {

struct WatchedKind {
  Resource resource;
  size_t index = 0;  // in Object
};

std::vector<WatchedKind> watched_kinds();

}  // namespace weir::agent::kube

#pragma once
// What weir-controller's command line says. Thread: values.
#include <chrono>
#include <string>

#include "agent/kube/client_options.h"

namespace weir::agent::controller {

struct ControllerOptions {
  std::string listen = "0.0.0.0:15012", metrics_listen = "0.0.0.0:15022";
  std::string trust_domain = "cluster.local";
  std::chrono::seconds certificate_life{24 * 3600};
  bool bring_root = false;  // wait for the Secret instead of making it
  std::chrono::seconds root_overlap{
      0};  // how long an old root stays trusted; 0: twice the certificates' life
  std::chrono::seconds signing_delay{30};  // how long a new root is trusted before it signs
  std::chrono::seconds root_check{5};      // how often Secret and ConfigMap are read
  std::string identity;                    // of this replica, in the Lease
  std::string log_level = "info";
  kube::ClientOptions kube;
};

}  // namespace weir::agent::controller

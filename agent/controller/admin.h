#pragma once
// The controller's HTTP side, over TCP: /healthz /readyz /metrics. Handlers run on the HTTP thread and wait, bounded, for
// the loop, so that a loop that hangs shows as an unhealthy controller.
// Owner: main. Lifetime: destroyed (thread joined) before app and loop.
#include "agent/controller/app.h"
#include "nodeproxy/base/local_http.h"

namespace weir::agent::controller {

class ControllerAdmin {
 public:
  ControllerAdmin(Loop& loop, ControllerApp& app);
  // Errors: an address that cannot be bound.
  Status start(const std::string& listen);

 private:
  HttpResponse on_loop(std::function<HttpResponse()> work) const;

  Loop& loop_;
  LocalHttp http_;
};

}  // namespace weir::agent::controller

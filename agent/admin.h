#pragma once
// The agent's HTTP side: /healthz /readyz /metrics (also over TCP) and /status /check /why?pod=NAMESPACE/NAME (Unix socket only).
// Handlers run on the HTTP thread; what needs the agent's state is posted to the loop and waited for, bounded, so a
// loop that hangs shows as an unhealthy agent. Owner: main. Lifetime: destroyed (thread joined) before app and loop.
#include "agent/app.h"
#include "nodeproxy/base/local_http.h"

namespace weir::agent {

class Admin {
 public:
  Admin(Loop& loop, App& app);
  // Errors: an address or path that cannot be bound.
  Status start(const std::string& socket_path, const std::string& metrics_listen);

 private:
  HttpResponse on_loop(std::function<HttpResponse()> work) const;

  Loop& loop_;
  App& app_;
  LocalHttp http_;
};

}  // namespace weir::agent

#pragma once
// The running controller: the file that knows every part and joins them.
//
//   Lease ──leads──▶ RootKeeper ──signing, bundle──▶ Desk ◀──calls── Service (gRPC)      StatusKeeper (the leader's)
//                                SettingsKeeper ──trust domain──▲───────────────────────────▲
//
// Owner: main. Thread: the loop's; admin.h's thread posts to it. Lifetime: one run; stop() first, then destroyed.
#include <memory>
#include <optional>
#include <string>

#include "agent/controller/desk.h"
#include "agent/controller/lease.h"
#include "agent/controller/metrics_table.h"
#include "agent/controller/options.h"
#include "agent/controller/root_keeper.h"
#include "agent/controller/server_certificate.h"
#include "agent/controller/service.h"
#include "agent/controller/settings_keeper.h"
#include "agent/controller/status_keeper.h"
#include "agent/kube/client.h"
#include "agent/loop/loop.h"

namespace weir::agent::controller {

class ControllerApp {
 public:
  ControllerApp(Loop& loop, ControllerOptions options);
  ~ControllerApp();
  ControllerApp(const ControllerApp&) = delete;
  ControllerApp& operator=(const ControllerApp&) = delete;

  // Serving begins once there is a root. Errors then, as a port that is taken, end the loop: see failed().
  void start();
  const std::optional<Error>& failed() const { return failed_; }

  // Gives the Lease back, ends calls, then calls `done`.
  void stop(std::function<void()> done);

  std::string not_ready() const;  // empty: ready
  const Metrics& metrics() const { return metrics_; }
  void refresh_metrics();

 private:
  Ask ask_api();
  void tick_lease();
  void tick_root();
  void root_changed();
  void leadership_changed(bool leads);
  void keep_status();

  Loop& loop_;
  const ControllerOptions options_;
  Metrics metrics_{"controller", kMetrics};
  ServerCertificate certificate_;
  std::optional<SettingsKeeper> settings_;
  std::optional<Desk> desk_;
  std::optional<RootKeeper> keeper_;
  std::optional<Lease> lease_;
  std::optional<Service> service_;
  bool serving_ = false, stopping_ = false;
  std::optional<Error> failed_;
  kube::Client watches_;  // connections of their own: they are long, and have no time-out
  std::optional<StatusKeeper> status_;
  kube::Client client_;  // destroyed before all that asks by it: nothing is called any more
};

}  // namespace weir::agent::controller

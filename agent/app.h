#pragma once
// The running agent: the only file that knows every type, and joins them.
//
//   files/ or kube/ ──objects──▶ derive/ ──resources──▶ serve/ ──▶ proxy        identity/ answers its certificate requests
//                          └──local pods──▶ enrol/ ──▶ redirect/       enrol/ ──announced──▶ derive/ (of every node)
//
// Owner: main. Thread: the loop's; the HTTP thread posts to it (admin.h). Lifetime: one run; destroying it leaves every
// captured pod captured.
#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "agent/derive/derive.h"
#include "agent/enrol/cni.h"
#include "agent/enrol/cni_install.h"
#include "agent/enrol/enrolment.h"
#include "agent/enrol/netns_finder.h"
#include "agent/enrol/route_watch.h"
#include "agent/identity/controller_signer.h"
#include "agent/identity/embedded_ca.h"
#include "agent/loop/loop.h"
#include "agent/loop/watch.h"
#include "agent/metrics.h"
#include "agent/options.h"
#include "agent/redirect/redirect.h"
#include "agent/serve/pod_fanout.h"
#include "agent/serve/proxy_server.h"
#include "agent/source.h"

namespace weir::agent {

// How capture was found at a pod, tested.
struct PodCheck {
  std::string uid, name;
  bool ok = false;
  std::vector<CheckResult> checks;
};

class App {
 public:
  // Everything that can fail at the start: capture, CA, directories, sockets. Errors say what to look at.
  static Result<std::unique_ptr<App>> start(Loop& loop, AgentOptions options);
  ~App();
  App(const App&) = delete;
  App& operator=(const App&) = delete;

  // For admin.h; on the loop's thread. JSON text.
  std::string status_json() const;
  std::string check_json();
  std::string why_json(const std::string& pod) const;  // empty: there is no such pod
  // Empty: ready. Else what is still missing.
  std::string not_ready() const;
  bool captures() const { return enrolment_->captures(); }
  bool held_by_proxies() const { return enrolment_->held_by_proxies(); }
  const Metrics& metrics() const { return metrics_; }

 private:
  App(Loop& loop, AgentOptions options);
  Status open();
  Status listen();
  Enrolment::Options enrolment_options();
  Status open_cni();
  void keep_cni_installed();
  void refresh_cni_metrics();

  Status open_announcements();
  Status open_ca();
  Signer& signer();
  void source_changed();
  void announcements_changed();
  void trust_changed();
  void derive_again();

  Result<uint64_t> admit(int pid);
  ProxyEvents proxy_events();
  void sign(uint64_t link_id, const std::string& identity, const std::string& csr);
  void forget_certificates();

  std::vector<PodCheck> check_all();
  void watch_over_capture();
  void check_and_mend(const PodStatus& pod);
  void tell_of_broken(const std::string& uid, const std::string& name,
                      const std::map<std::string, std::string>& found, const Status& mended);
  std::map<std::string, std::string> broken_parts(const std::string& uid);
  void reconcile();
  nlohmann::ordered_json cni_status() const;
  nlohmann::ordered_json trust_status() const;
  void refresh_metrics();

  Loop& loop_;
  const AgentOptions options_;
  Metrics metrics_{"agent", agent_metrics()};
  std::unique_ptr<NetnsFinder> finder_;
  std::unique_ptr<Redirect> redirect_;
  std::unique_ptr<RedirectCapture> capture_;
  std::unique_ptr<EmbeddedCa> ca_;  // one of the two
  std::unique_ptr<ControllerSigner> controller_;
  OpenedSource source_;
  std::unique_ptr<Announcements> announcements_;
  std::unique_ptr<ProxyServer> server_;
  std::unique_ptr<PodFanout> fanout_;
  std::unique_ptr<Enrolment> enrolment_;
  std::unique_ptr<Cni> cni_;
  std::unique_ptr<CniInstall> cni_install_;
  std::unique_ptr<RouteWatch> route_watch_;
  std::unique_ptr<DirectoryWatch> shared_watch_, ca_watch_, netns_watch_;

  TrustBundle trust_;
  std::string trust_error_;
  std::shared_ptr<const Resources> resources_;
  std::vector<LocalPodSpec> local_pods_;
  std::vector<Note> notes_;
  std::string trust_domain_;
  std::vector<SourceError> source_errors_;
  std::map<std::string, int64_t> issued_until_;  // identity → notAfter of the last certificate
  std::set<uint64_t> proxy_cgroups_;             // made known to capture
  std::map<std::string, std::map<std::string, std::string>> broken_;  // uid → check → what was found last
  size_t next_check_ = 0;
  bool remembered_ = false;  // what an earlier agent captured was told to cni_
};

}  // namespace weir::agent

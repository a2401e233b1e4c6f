#pragma once
// The proxy as a whole: the only file that knows every type. It starts the workers, feeds them from the agent's socket
// or a file on the config thread, keeps certificates, serves metrics and the admin socket, and drains on SIGTERM.
// Threads: main (signals), config (agent link, certificates), one per worker, access-log writer, admin.
#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "nodeproxy/admin/reports.h"
#include "nodeproxy/base/error.h"
#include "nodeproxy/base/limits.h"
#include "nodeproxy/base/local_http.h"
#include "nodeproxy/base/rest.h"
#include "nodeproxy/config/agent_link.h"
#include "nodeproxy/config/publish.h"
#include "nodeproxy/io/choose.h"
#include "nodeproxy/tls/store.h"
#include "nodeproxy/worker.h"

namespace weir {

struct AppOptions {
  std::string agent_socket, config_file;  // exactly one
  uint32_t workers = 0;                   // 0: one per core
  io::DriverChoice io = io::DriverChoice::automatic;
  std::string metrics_listen = "0.0.0.0:15020";
  std::string admin_socket;  // empty: none
  std::string access_log = "-";
  net::ShareLimits source_limits = {};  // connections: less where the descriptors do not reach
  int drain_seconds = static_cast<int>(limits::drain_default / std::chrono::seconds(1));
};

class App final : public config::AgentEvents {
 public:
  explicit App(AppOptions options);
  ~App() override;

  // Blocks until drained after SIGTERM or SIGINT. Errors: what kept it from starting; no thread is left then either.
  Status run();

 private:
  // Config thread.
  void on_snapshot(std::shared_ptr<const config::Snapshot> snapshot) override;
  void on_local_pod(config::LocalPod pod) override;
  void on_local_pod_gone(const std::string& uid, bool removed) override;
  void on_certificate(const std::string& identity, std::vector<std::string> chain_der) override;
  void on_certificate_refused(const std::string& identity, const std::string& error, bool retry) override;
  void on_connected(bool connected) override;
  std::vector<config::HeldPod> held_pods() override;
  void on_tick() override;
  void want_certificate(const std::string& identity);
  void take_trust(const config::Trust& trust);
  void hand_out_certificates();
  void begin_accepting();
  void give_back_memory();

  // Any worker's thread: counts until all workers have said so.
  void pod_accepting(const std::string& uid);
  void pod_released(const std::string& uid);
  // Of another worker: the descriptor goes to this one.
  void hand_over(uint32_t worker, const std::string& uid, flow::Way way, int fd);

  Status start();
  void fit_descriptors();
  Status start_workers();
  void tell_driver(const io::ChosenDriver& chosen);
  Status start_admin();
  Status start_config();
  void wait_for_signal();
  void drain(std::chrono::seconds limit);  // and ends every thread

  // Admin thread.
  admin::ProcessView view(bool rows = false);
  template <typename Answer>
  std::vector<Answer> ask(const std::function<Answer(Worker&)>& question);
  HttpResponse tap(const HttpRequest& request);
  std::string not_ready_because(const admin::ProcessView& view);
  HttpResponse config_dump();

  struct Pod {
    std::shared_ptr<const flow::PodDescriptors> descriptors;
    uint32_t accepting = 0, released = 0;  // workers that have said so
    bool begun = false;                    // the workers have it
    bool leaving = false;
    std::chrono::steady_clock::time_point came = std::chrono::steady_clock::now();
  };

  AppOptions options_;
  std::unique_ptr<telemetry::LogWriter> log_writer_;
  std::unique_ptr<config::Publisher> publisher_;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::vector<std::thread> threads_;
  std::unique_ptr<config::AgentLink> link_;
  std::thread config_thread_;
  LocalHttp http_;
  tls::CertStore certificates_;  // config thread
  Rest rest_;                    // config thread

  std::mutex mutex_;  // guards what admin reads and workers report: not on the path
  std::map<std::string, Pod> pods_;
  struct CertificateState {
    int64_t not_after_unix_seconds = 0;
    std::string error;
    std::shared_ptr<const tls::Context> handed_out;
  };
  std::map<std::string, CertificateState> certificate_states_;
  std::shared_ptr<const config::Snapshot> snapshot_;  // for the config dump
  std::string driver_name_;  // "io_uring+epoll" if the workers differ; written before admin starts
  std::atomic<bool> draining_ = false;
};

}  // namespace weir

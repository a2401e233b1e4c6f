#pragma once
// What `helm uninstall` asks of a cluster, in two steps (charts/weir/templates/uninstall.yaml): let every pod go while proxies
// and agents still run, so that no connection notices, and take those away; then, when `weir-agent uninstall` has been
// brought to every node, wait until it is done there.
//
// Concept: a command, not a service. Each request waits for its answer by turning the loop, and is repeated until the
// deadline, so the steps read top to bottom. Owner: main. Thread: the main thread's. Errors name what is left and where.
#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "agent/kube/client.h"
#include "agent/kube/json.h"

namespace weir::agent {

class ClusterUninstall {
 public:
  using Clock = std::chrono::steady_clock;

  ClusterUninstall(kube::ClientOptions options, std::chrono::seconds patience,
                   std::chrono::milliseconds pause);

  // Sets enrolment: None, waits until no pod is announced as captured, deletes the DaemonSet weir-node and waits until its
  // pods are gone.
  Status release();
  // Waits until the DaemonSet weir-uninstall is ready on every node that it was brought to.
  Status await_nodes();

 private:
  Result<kube::Answer> ask(const std::string& method, const std::string& path, const std::string& body = {},
                           const std::string& type = {});
  // Asks until `good` takes the answer; the last answer's sentence when it does not until the deadline.
  template <typename Good>
  Status until(const std::string& what, Good good);
  Result<std::vector<std::string>> captured_pods();
  Result<std::vector<std::string>> nodes_not_ready();
  bool late() const { return Clock::now() >= deadline_; }
  void pause();

  Loop loop_;
  kube::Client client_;
  const std::chrono::milliseconds pause_;
  const Clock::time_point deadline_;
};

}  // namespace weir::agent

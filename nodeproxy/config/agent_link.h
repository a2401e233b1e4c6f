#pragma once
// The proxy's end of the agent's socket: says Hello, applies updates and acknowledges or refuses each, takes the
// listeners of enrolled pods, asks for certificates. When the agent goes, traffic goes on with the last state, and this
// connects again for ever, with back-off and jitter.
//
// What must not be lost by a lost connection is kept here: certificate requests are repeated until they are answered,
// and words about pods wait for the next Welcome. After a reconnect the agent says again which pods it has (LocalPod,
// LocalPodGone); it learns from OldListeners what this process holds.
//
// Owner: app. Thread: run() is the config thread, and every event is called on it; the methods that say so may be
// called from any thread. Lifetime: run() ends after stop(), then it may be destroyed.
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "nodeproxy/base/error.h"
#include "nodeproxy/base/fd.h"
#include "nodeproxy/config/build.h"
#include "nodeproxy/config/snapshot.h"

namespace weir::mesh::v1 {
class FromAgent;
}

namespace weir::config {

// An enrolled pod of this node with its descriptors.
struct LocalPod {
  std::string uid;       // Workload.uid
  std::string identity;  // the certificate it needs
  Fd network_namespace;
  std::vector<Fd> outbound, inbound;  // listeners: members of one SO_REUSEPORT group each
  uint16_t listener_port = 0;
  uint16_t local_port_first = 0, local_port_last = 0;  // the pod's own net.ipv4.ip_local_port_range
};

// A pod's listeners that this process holds, for OldListeners: duplicates, or the originals when they are given up.
struct HeldPod {
  std::string uid;
  Fd network_namespace;
  std::vector<Fd> outbound, inbound;
  uint16_t listener_port = 0;
};

class AgentEvents {
 public:
  virtual ~AgentEvents() = default;
  virtual void on_snapshot(std::shared_ptr<const Snapshot> snapshot) = 0;
  // Also for a pod that is already known (after a reconnect): answer with pod_accepting again.
  virtual void on_local_pod(LocalPod pod) = 0;
  // removed: the pod is gone, close its sockets at once; else it was unenrolled, drain. Answer with pod_released.
  virtual void on_local_pod_gone(const std::string& uid, bool removed) = 0;
  virtual void on_certificate(const std::string& identity, std::vector<std::string> chain_der) = 0;
  virtual void on_certificate_refused(const std::string& identity, const std::string& error, bool retry) = 0;
  // true after the agent's Welcome, false when the connection is lost.
  virtual void on_connected(bool connected) = 0;
  // After each Welcome: what this process holds, to be told to the agent.
  virtual std::vector<HeldPod> held_pods() = 0;
  // About once a second, and after every message: the place for Publisher::reclaim().
  virtual void on_tick() {}
};

struct AgentStatus {
  bool connected = false;
  uint64_t version_applied = 0;  // Update.version of the last snapshot
  uint64_t updates_applied = 0;
  uint64_t updates_refused = 0;
  uint64_t connects = 0;
  std::string agent_version, node;  // from Welcome
  std::string last_error;  // of the connection, or of the last refusal; empty when an update came after it
};

class AgentLink {
 public:
  // `events` outlives run(). `version` is the program's, for Hello.
  AgentLink(std::string socket_path, uint32_t workers, std::string version, AgentEvents& events);
  ~AgentLink();
  AgentLink(const AgentLink&) = delete;
  AgentLink& operator=(const AgentLink&) = delete;

  // Blocks until stop(). Errors only at the start: no eventfd.
  Status run();

  // From any thread; never block.
  void stop();
  // Answered by on_certificate or on_certificate_refused. A later request for the identity replaces an earlier one.
  void request_certificate(const std::string& identity, const std::string& csr_der);
  void pod_accepting(const std::string& uid);
  void pod_released(const std::string& uid);
  AgentStatus status() const;

 private:
  struct Connection;
  struct Outbox;
  void serve(Connection& connection);
  void receive(Connection& connection);
  void handle(Connection& connection, const std::string& bytes, std::vector<Fd>& descriptors);
  void welcome(Connection& connection, const mesh::v1::FromAgent& message);
  void update(Connection& connection, const mesh::v1::FromAgent& message);
  void local_pod(const mesh::v1::FromAgent& message, std::vector<Fd>& descriptors);
  void answered(const std::string& identity);
  void drain_outbox(Connection& connection);
  void post(std::string message);
  void lost(const Error& error);
  bool wait_before_retry(uint32_t attempt);

  const std::string socket_path_;
  const uint32_t workers_;
  const std::string version_;
  AgentEvents& events_;
  Builder builder_;
  std::unique_ptr<Outbox> outbox_;
  mutable std::mutex status_mutex_;
  AgentStatus status_;
};

}  // namespace weir::config

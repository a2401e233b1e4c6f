#pragma once
// One connected proxy: its messages in and out (mesh.proto), its configuration (sync.h). The agent's side of the Unix
// socket; what the messages cause is the listener's business (ProxyEvents, implemented in app.cc).
//
// Concept: the proxy speaks first (Hello), within 10 s; Welcome and a full Update answer. After the first Ack everything
// the proxy wanted to give back of an earlier agent (OldListeners) has been received, and on_synced is called.
// Any broken rule of the protocol ends the link: the proxy connects anew.
// Owner: ProxyServer. Thread: the loop's. Lifetime: until on_gone; a link never deletes itself.
#include <sys/types.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "agent/loop/loop.h"
#include "agent/serve/sync.h"
#include "nodeproxy/base/message_socket.h"

namespace weir::mesh::v1 {
class FromAgent;
class FromProxy;
}  // namespace weir::mesh::v1

namespace weir::agent {

class ProxyLink;

struct PodDescriptors {
  std::string uid, identity;
  int netns = -1;
  std::vector<int> outbound, inbound;
  uint16_t listener_port = 0;
  uint16_t local_port_first = 0, local_port_last = 0;
};

struct GivenBack {
  std::string uid;
  uint16_t listener_port = 0;
  Fd netns;
  std::vector<Fd> outbound, inbound;
};

struct ProxyEvents {
  std::function<void(ProxyLink&)> on_hello;   // before Welcome
  std::function<void(ProxyLink&)> on_synced;  // after the first Ack
  std::function<void(ProxyLink&, GivenBack)> on_old_listeners;
  std::function<void(ProxyLink&, const std::string& uid)> on_pod_accepting, on_pod_released;
  std::function<void(ProxyLink&, const std::string& identity, const std::string& csr)> on_certificate_request;
  std::function<void(ProxyLink&, const Sync::Outcome&)> on_ack;
  std::function<void(ProxyLink&, const std::string& why)> on_gone;  // last call for this link
};

class ProxyLink {
 public:
  struct Options {
    std::string node;
    pid_t pid = 0;
    uint64_t cgroup_id = 0;
    uint64_t id = 0;  // of the link; never reused
    std::shared_ptr<const Resources> last_good;
    uint64_t version_floor = 0;
  };

  ProxyLink(Loop& loop, Fd socket, Options options, const ProxyEvents& events);
  ~ProxyLink();
  ProxyLink(const ProxyLink&) = delete;
  ProxyLink& operator=(const ProxyLink&) = delete;

  void want(std::shared_ptr<const Resources> wanted);
  // Descriptors are duplicated at once. False: the link is gone.
  bool send_pod(const PodDescriptors& pod);
  bool send_pod_gone(const std::string& uid, bool removed);
  bool send_certificate(const std::string& identity, const std::vector<std::string>& chain);
  bool send_certificate_refused(const std::string& identity, const std::string& why, bool retry);
  // Ends it: on_gone is called from the loop.
  void close(const std::string& why);

  uint64_t id() const { return options_.id; }
  pid_t pid() const { return options_.pid; }
  uint64_t cgroup_id() const { return options_.cgroup_id; }
  bool said_hello() const { return said_hello_; }
  bool closed() const { return closed_; }  // on_gone is about to be called
  bool synced() const { return synced_; }
  const std::string& version() const { return program_version_; }
  unsigned workers() const { return workers_; }
  const Sync& sync() const { return *sync_; }

 private:
  void on_socket(short events);
  void handle(MessageSocket::Message message);
  void handle_hello(const mesh::v1::FromProxy& message);
  void handle_old_listeners(const mesh::v1::FromProxy& message, std::vector<Fd> descriptors);
  bool send(const mesh::v1::FromAgent& message, const std::vector<int>& descriptors = {});
  bool send_bytes(const std::string& bytes, const std::vector<int>& descriptors);
  void send_update();
  void flush();

  Loop& loop_;
  MessageSocket socket_;
  Options options_;
  const ProxyEvents& events_;
  std::unique_ptr<Sync> sync_;
  std::shared_ptr<const Resources> wanted_;
  std::string program_version_;
  unsigned workers_ = 0;
  bool said_hello_ = false;
  bool synced_ = false;
  bool closed_ = false;
  Loop::TimerId hello_timer_ = 0;
  Loop::TimerId gone_timer_ = 0;
};

}  // namespace weir::agent

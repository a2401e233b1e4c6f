#pragma once
// An enrolled pod of this node as one worker serves it: its listeners' accept loops, its flows, the flows its policy
// has judged, the carriers that came in for it, and its identity. The descriptors are the agent's, shared by the
// workers; when the last flow of a removed pod has ended here, `released` says so, and with the last worker's release
// no descriptor of the pod is left in the process.
// Thread: one worker. Lifetime: from the agent's LocalPod to release; owned by the Context.
#include <functional>
#include <memory>
#include <string>
#include <unordered_set>
#include <vector>

#include "nodeproxy/base/fd.h"
#include "nodeproxy/flow/context.h"
#include "nodeproxy/flow/flow.h"
#include "nodeproxy/flow/spread.h"
#include "nodeproxy/mesh/lane.h"
#include "nodeproxy/net/acceptor.h"

namespace weir::flow {

// Its own limit, whoever the sources are.
inline Error pod_is_full(std::string_view of_what) {
  return fail(Source::local, Reason::overloaded, "the pod's limit of " + std::string(of_what)).error();
}

// What the agent handed over. Shared by all workers; closed with the last reference.
struct PodDescriptors {
  std::string uid, identity;
  Fd netns;
  std::vector<Fd> outbound, inbound;
  uint16_t listener_port = 0;
  mutable Spread outbound_spread, inbound_spread;

  explicit PodDescriptors(uint32_t workers) : outbound_spread(workers), inbound_spread(workers) {}
};

class LocalPod {
 public:
  // `worker` of `workers` serves the members whose index is ≡ worker (mod workers).
  LocalPod(Context& context, std::shared_ptr<const PodDescriptors> descriptors, uint32_t worker,
           uint32_t workers, std::function<void(const std::string& uid)> released);

  void start();
  // A connection that another worker has accepted and that its Spread has placed here.
  void take(Way way, int fd);
  // No connection is there, is being accepted, or is on its way from another worker.
  bool quiet() const;
  // Now and then: see to what waits in the listeners' queues.
  void look();
  // No new connections (drain, unenrolment); flows go on.
  void stop_accepting();
  // The pod is gone: its flows end with a reset, and so do those of other pods of this node that go to it in one pass
  // (its policy has judged them); released when they have.
  void remove(Reason reason);
  bool removed() const { return removed_; }
  // Unenrolled: no new connections, released when the last flow ends by itself.
  void retire();

  // The proxy is draining: no new connections, carriers say GOAWAY.
  void drain();
  // Of a leaving pod: releases it when nothing of it is left.
  void maybe_release();

  // The snapshot changed from `before` (may be null): flows that this pod's policy or mode no longer allows end.
  void judge_again(const config::Snapshot* before, const config::Snapshot& now);

  const std::string& uid() const { return descriptors_->uid; }
  const std::string& identity() const { return descriptors_->identity; }
  int netns_fd() const { return descriptors_->netns.get(); }
  // The pod's own workload in the current snapshot, or null.
  const config::Workload* workload() const;
  // Its address of the family of `like`, or null.
  static const Ip* address_like(const config::Workload& workload, const Ip& like);

  void flow_ended();

  Context& context;
  Link<Flow>* flows = nullptr;
  Link<Judged>* judged = nullptr;
  uint64_t flow_count = 0;
  uint32_t request_count = 0;  // in flight, of its flows
  Budget budget;               // of the windows granted to this pod's peers on this worker
  // Ports whose application spoke first to an undetected client: no deadline is waited for again.
  std::unordered_map<uint16_t, bool> server_first_ports;
  // Addresses this pod dialled whose server spoke first: not waited for either.
  std::unordered_set<SocketAddress> server_first_services;

 private:
  void accepted(Way way, int fd);
  uint32_t placed(Way way, int fd);
  Spread& spread(Way way) const {
    return way == Way::outbound ? descriptors_->outbound_spread : descriptors_->inbound_spread;
  }

  std::shared_ptr<const PodDescriptors> descriptors_;
  uint32_t worker_;
  std::vector<std::unique_ptr<net::Acceptor>> acceptors_;
  std::function<void(const std::string&)> released_;
  bool leaving_ = false, removed_ = false;
  bool released_already_ = false;
};

}  // namespace weir::flow

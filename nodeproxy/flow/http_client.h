#pragma once
// One HTTP connection of a client, as all its requests see it: where it came from, what it dialled, who it is, and where
// its requests go. Outbound, a request goes where routes and balancers say; inbound, to the pod's own application, over a
// connection that belongs to this client connection alone.
// Thread: one worker. Lifetime: a local of the corridor that serves the connection; outlives its exchanges.
#include <array>
#include <coroutine>
#include <functional>
#include <list>
#include <memory>
#include <string>

#include "nodeproxy/flow/hop.h"
#include "nodeproxy/flow/plan.h"
#include "nodeproxy/http/connection.h"
#include "nodeproxy/telemetry/request_series.h"

namespace weir::flow {

class HttpClient final : private http::ClientConnectionEvents {
 public:
  HttpClient(Flow& flow, bool inbound) : flow(flow), inbound(inbound) {}
  ~HttpClient();  // after application_gone()

  Flow& flow;
  bool inbound;
  bool h2 = false;
  SocketAddress address, dialled;  // the client's, and what it dialled (inbound: the pod's own)
  std::string local_uid;   // of the pod of this node that was dialled itself: its application, in one pass
  std::string service;     // that was dialled (outbound)
  std::string identity;    // of the client: proved by TLS, or the pod's own; empty: none
  telemetry::Facts facts;  // what is the same for every request

  // The row of a request that goes nowhere (yet), and of one that goes to this endpoint by this plan. The last few are
  // remembered: a label set is hashed once for each.
  telemetry::RequestRow* base_row();
  telemetry::RequestRow* row(telemetry::Reporter reporter, const Hop& hop, const Plan& plan);

  // Inbound over a lane: the application refused, so its port is to be set free (nodeproxy/README "Rules of the house").
  std::function<void()> on_refused;
  // The pod whose policy judges requests that are not balanced; null: it is gone.
  LocalPod* destination() const { return local_uid.empty() ? &flow.owner : flow.context.pod(local_uid); }
  // Inbound, or a pod of this node dialled itself: a place on the connection to the application, dialled when there is
  // none.
  io::Task<Result<upstream::HttpLease>> application(io::TimePoint deadline);
  // Ends the connections to the application: in order for Reason::none.
  void end_application(Reason why);
  // Resumes when nothing of them is left; not cancellable, since they must not outlive this.
  struct Gone {
    HttpClient& client;
    bool await_ready() const noexcept { return client.applications_.empty(); }
    void await_suspend(std::coroutine_handle<> waiting) noexcept { client.waiting_ = waiting; }
    void await_resume() const noexcept {}
  };
  Gone application_gone() { return Gone{*this}; }

 private:
  void on_connection_ended(http::ClientConnection& connection) override;
  void on_connection_free(http::ClientConnection&) override {}

  struct Remembered {
    telemetry::Reporter reporter = telemetry::Reporter::source;
    upstream::Way way = upstream::Way::plain;
    bool grpc = false;
    std::string workload_uid, service, route;
    telemetry::RequestRow* row = nullptr;
  };
  telemetry::RequestRow* base_row_ = nullptr;
  std::array<Remembered, 4> remembered_;
  size_t remember_next_ = 0;
  std::list<std::unique_ptr<http::ClientConnection>> applications_;  // one, but for those that take no more
  std::coroutine_handle<> waiting_;
};

}  // namespace weir::flow

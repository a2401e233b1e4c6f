// The inbound connection to the application. See http_client.h.
#include "nodeproxy/flow/http_client.h"

#include "nodeproxy/flow/parties.h"
#include "nodeproxy/net/connect.h"
#include "nodeproxy/upstream/byte_streams.h"

namespace weir::flow {

HttpClient::~HttpClient() = default;

telemetry::RequestRow* HttpClient::base_row() {
  if (!base_row_) {
    telemetry::RequestLabels labels;
    labels.ends = *facts.labels;
    labels.protocol = h2 ? telemetry::Protocol::http_2 : telemetry::Protocol::http_1;
    base_row_ = flow.context.request_series.row(labels);
  }
  return base_row_;
}

telemetry::RequestRow* HttpClient::row(telemetry::Reporter reporter, const Hop& hop, const Plan& plan) {
  for (const Remembered& one : remembered_) {
    if (one.row && one.reporter == reporter && one.way == hop.way && one.grpc == plan.grpc &&
        one.workload_uid == hop.workload_uid && one.service == plan.service && one.route == plan.rule) {
      return one.row;
    }
  }
  telemetry::RequestLabels labels;
  labels.ends = *facts.labels;
  labels.ends.reporter = reporter;
  labels.ends.security = security_of(hop.way);
  labels.ends.service = plan.service;
  const config::Workload* destination =
      hop.workload_uid.empty() ? nullptr : flow.context.snapshot->workload(hop.workload_uid);
  labels.ends.destination = party_of(destination);
  if (hop.way == upstream::Way::plain) labels.ends.destination.principal.clear();
  labels.protocol = plan.grpc ? telemetry::Protocol::grpc
                    : h2      ? telemetry::Protocol::http_2
                              : telemetry::Protocol::http_1;
  labels.route = plan.rule;
  Remembered& slot = remembered_[remember_next_++ % remembered_.size()];
  slot = {reporter,
          hop.way,
          plan.grpc,
          hop.workload_uid,
          plan.service,
          plan.rule,
          flow.context.request_series.row(labels)};
  return slot.row;
}

io::Task<Result<upstream::HttpLease>> HttpClient::application(io::TimePoint deadline) {
  for (const auto& there : applications_) {
    if (!there->can_begin()) continue;
    const bool reused = there->exchanges_begun() > 0;
    co_return upstream::HttpLease(*there, there->begin(), reused);
  }
  Context& context = flow.context;
  net::ConnectPlan plan =
      local_uid.empty()
          ? net::to_application(flow.owner.netns_fd(), address.ip, dialled, context.ports.application)
          : net::to_local_pod(flow.owner.netns_fd(), address.ip, dialled, context.ports.application);
  plan.deadline = deadline;
  auto socket = co_await net::connect(context.driver, plan);
  if (!socket) {
    if (socket.error().reason == Reason::refused && on_refused) on_refused();
    co_return std::unexpected(socket.error());
  }
  socket->set_no_delay();
  // What takes no more ends by itself.
  for (auto at = applications_.begin(); at != applications_.end();) (at++)->get()->retire();
  auto bytes = std::make_unique<upstream::SocketBytes>(std::move(*socket));
  applications_.push_front(http::make_client(context.driver, std::move(bytes), *this, h2));
  http::ClientConnection& made = *applications_.front();
  made.start();
  co_return upstream::HttpLease(made, made.begin(), false);
}

void HttpClient::end_application(Reason why) {
  for (auto at = applications_.begin(); at != applications_.end();) (at++)->get()->end(why);
}

void HttpClient::on_connection_ended(http::ClientConnection& connection) {
  if (connection.exchanges() > 0) return;
  if (applications_.size() == 1 && waiting_) flow.driver().ready(std::exchange(waiting_, {}), flow.share());
  applications_.remove_if([&](const auto& one) { return one.get() == &connection; });
}

}  // namespace weir::flow

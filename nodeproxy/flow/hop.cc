// See hop.h.
#include "nodeproxy/flow/hop.h"

#include "nodeproxy/flow/parties.h"
#include "nodeproxy/io/sleep.h"

namespace weir::flow {
namespace {

constexpr auto kNewsEvery = std::chrono::milliseconds(25);

}  // namespace

Hop hop_to(const Context& context, const LocalPod& source, const config::Workload* workload,
           SocketAddress to) {
  Hop hop;
  hop.to = to;
  if (!workload || workload->host_network) return hop;
  hop.workload_uid = workload->uid;
  hop.identity = workload->identity;
  const bool own = workload->uid == source.uid();
  const bool here = context.pod(workload->uid) != nullptr;
  if (here && (own || context.snapshot->mesh.same_node == config::SameNode::direct)) {
    hop.way = upstream::Way::local;
  } else if ((workload->mesh_peer || here) && workload->mode_of(to.port) != config::TlsMode::disabled) {
    hop.way = upstream::Way::lane;
  }
  return hop;
}

Hop hop_to(const Context& context, const LocalPod& source, const balance::Choice& choice) {
  const config::Endpoint& endpoint = *choice.endpoint;
  const config::Snapshot& snapshot = *context.snapshot;
  const config::Workload* workload =
      endpoint.workload_uid.empty() ? nullptr : snapshot.workload(endpoint.workload_uid);
  if (!workload) workload = snapshot.workload_at(endpoint.address);
  Hop hop = hop_to(context, source, workload, choice.address());
  hop.endpoint_id = endpoint.id;
  return hop;
}

balance::Request ask(const Context& context, const LocalPod& source, const config::Service& service,
                     uint16_t port, const SocketAddress& client, std::span<const uint64_t> tried) {
  const config::Snapshot& snapshot = *context.snapshot;
  const config::Workload* self = source.workload();
  return {.service = service,
          .port = port,
          .v4 = client.ip.is_v4(),
          .node = snapshot.mesh.node,
          .zone = self ? self->locality.zone : snapshot.mesh.locality.zone,
          .client = client.ip,
          .tried = tried,
          .now = context.driver.now()};
}

telemetry::Security security_of(upstream::Way way) {
  switch (way) {
    case upstream::Way::lane: return telemetry::Security::mtls;
    case upstream::Way::local: return telemetry::Security::local;
    case upstream::Way::plain: break;
  }
  return telemetry::Security::none;
}

void label(telemetry::Facts& facts, const Context& context, const LocalPod& source, const Hop& hop) {
  const config::Workload* from = source.workload();
  const config::Workload* destination =
      hop.workload_uid.empty() ? nullptr : context.snapshot->workload(hop.workload_uid);
  telemetry::Labels& labels = facts.labels.edit();
  facts.endpoint = hop.to;
  facts.source_pod = pod_name(from);
  facts.destination_pod = pod_name(destination);
  labels.source = party_of(from);
  labels.destination = party_of(destination);
  labels.security = security_of(hop.way);
  if (hop.way == upstream::Way::plain) labels.destination.principal.clear();
}

io::Task<std::shared_ptr<const tls::Context>> own_certificate(Context& context, std::string identity,
                                                              io::TimePoint deadline) {
  const io::TimePoint last =
      std::min<io::TimePoint>(context.driver.now() + limits::certificate_wait, deadline);
  for (;;) {
    auto certificate = context.certificate(identity);
    if (certificate || context.driver.now() >= last) co_return certificate;
    const Status status = co_await io::sleep(
        context.driver, std::min<io::Clock::duration>(kNewsEvery, last - context.driver.now()));
    if (!status) co_return nullptr;
  }
}

}  // namespace weir::flow

// The corridor of an inbound connection, top to bottom. See inbound.h and nodeproxy/README.md.
#include "nodeproxy/flow/inbound.h"

#include "nodeproxy/detect/detect.h"
#include "nodeproxy/flow/hop.h"
#include "nodeproxy/flow/http_corridor.h"
#include "nodeproxy/flow/parties.h"
#include "nodeproxy/flow/session.h"
#include "nodeproxy/flow/verdicts.h"
#include "nodeproxy/mesh/carrier.h"
#include "nodeproxy/net/connect.h"
#include "nodeproxy/relay/relay.h"
#include "nodeproxy/relay/socket_end.h"
#include "nodeproxy/upstream/byte_streams.h"

namespace weir::flow {
namespace {

class InboundFlow final : public Flow, private mesh::CarrierEvents {
 public:
  InboundFlow(LocalPod& destination, int fd, Seat seat)
      : Flow(destination.context, destination, std::move(seat)), client(destination.context.driver, fd) {}

  io::Socket client;
  SocketAddress client_address, local;
  std::unique_ptr<mesh::Carrier> carrier;

  mesh::CarrierEvents& carrier_events() { return *this; }
  const mesh::Carrier* carries() const override {
    return carrier && carrier->established() ? carrier.get() : nullptr;
  }
  bool judge_peer(const tls::Bundle& bundle) override { return carrier && carrier->judge_peer(bundle); }
  void drain() override {
    if (carrier) carrier->drain();
    Flow::drain();
  }

 private:
  void on_session(mesh::Session& session, const mesh::OpenInfo& info) override {
    if (info.client.ip != client_address.ip) {  // a lane speaks for its own address only
      session.reset(mesh::RstReason::bad_open);
      session.release();
      return;
    }
    auto allowed = context.shares.session(context.shares.of(client_address.ip));
    if (allowed) return start_session(owner, *carrier, session, info, local, std::move(*allowed));
    session.reset(mesh::RstReason::overloaded);
    session.release();
    refuse_session(owner, *carrier, info, local, allowed.error());
  }
  void on_session_refused(const mesh::OpenInfo& info) override {
    const net::Share& source = context.shares.of(client_address.ip);
    const Status room = context.shares.room(source, limits::session_window_initial_bytes);
    refuse_session(owner, *carrier, info, local, room ? pod_is_full("windows") : room.error());
  }
};

// Whether the client is a mesh peer by its address: such clients speak first, so no timer is needed for them.
const config::Workload* known_peer(const Context& context, const Ip& client) {
  const config::Workload* workload = context.snapshot ? context.snapshot->workload_at(client) : nullptr;
  return workload && workload->mesh_peer ? workload : nullptr;
}

void label(InboundFlow& flow, telemetry::Security security) {
  const config::Workload* destination = flow.owner.workload();
  const config::Workload* source =
      flow.context.snapshot ? flow.context.snapshot->workload_at(flow.client_address.ip) : nullptr;
  telemetry::Facts& facts = flow.record.facts;
  telemetry::Labels& labels = facts.labels.edit();
  facts.reporter = labels.reporter = telemetry::Reporter::destination;
  facts.client = flow.client_address;
  facts.dialled = facts.endpoint = flow.local;
  facts.source_pod = pod_name(source);
  facts.destination_pod = pod_name(destination);
  labels.source = party_of(source);
  labels.source.principal.clear();  // an address proves no identity
  labels.destination = party_of(destination);
  labels.security = security;
}

// From outside the mesh: HTTP that is declared, or that a policy must look into, is walked request by request.
io::Task<Status> pass_on_http(InboundFlow& flow, detect::Heard first, bool secured) {
  flow.register_judged(flow.owner, {.identity = {},
                                    .client = flow.client_address.ip,
                                    .port = flow.local.port,
                                    .secured = secured,
                                    .parsed = true});
  HttpCorridor http(flow, std::make_unique<upstream::SocketBytes>(std::move(flow.client)), true);
  http.client.address = flow.client_address;
  http.client.dialled = flow.local;
  co_return co_await http.run(std::move(first));
}

// Plain bytes to the application, as the client's own address.
io::Task<Status> pass_on(InboundFlow& flow, detect::Hello hello) {
  Context& context = flow.context;
  const config::Workload* workload = flow.owner.workload();
  if (!workload) co_return fail(Source::config, Reason::unknown_pod);
  const bool requests_needed = policy::needs_request(*workload, flow.local.port);
  if (!hello.bytes.empty() && hello.protocol == detect::Protocol::opaque) {
    auto heard = co_await detect::continue_speech(context.driver, flow.client, std::move(hello.bytes),
                                                  requests_needed);
    if (!heard) co_return std::unexpected(heard.error());
    if (heard->speech != detect::Speech::opaque)
      co_return co_await pass_on_http(flow, std::move(*heard), false);
    hello.bytes = std::move(heard->bytes);
    workload = flow.owner.workload();
    if (!workload) co_return fail(Source::config, Reason::unknown_pod);
  }
  const policy::Verdict verdict = policy::judge(*workload, flow.local.port, {{}, flow.client_address.ip});
  count_audits(context, verdict);
  name_rule(flow.record.facts, verdict);
  if (!verdict.allowed) co_return fail(Source::policy, verdict.reason);
  flow.register_judged(flow.owner, {.identity = {},
                                    .client = flow.client_address.ip,
                                    .port = flow.local.port,
                                    .requests_needed = requests_needed});
  const auto place = context.shares.connection(flow.client_address.ip);
  if (!place) co_return std::unexpected(place.error());
  auto server =
      co_await net::connect(context.driver, net::to_application(flow.owner.netns_fd(), flow.client_address.ip,
                                                                flow.local, context.ports.application));
  if (!server) co_return std::unexpected(server.error());
  flow.record.opened(context.sink);
  relay::SocketEnd client_end(flow.client), server_end(*server);
  if (!hello.bytes.empty()) client_end.put_back(std::move(hello.bytes));
  relay::Ends ends(flow.record.sent_bytes, flow.record.received_bytes);
  const bool silent = hello.protocol == detect::Protocol::silent;
  co_await relay::run(flow, client_end, server_end, ends);
  // An application that spoke to a client which had said nothing: no deadline is waited for on that port again.
  if (silent && ends.to_client_bytes > 0) flow.owner.server_first_ports[flow.local.port] = true;
  if (ends.error) {
    if (!flow.why) flow.why = ends.error;
  } else {
    flow.client.set_reset_on_close(false);
    server->set_reset_on_close(false);
  }
  co_return Status();
}

// A mesh peer: terminate with this pod's certificate and serve its sessions until the carrier ends.
io::Task<Status> serve_peer(InboundFlow& flow, detect::Hello hello) {
  Context& context = flow.context;
  const auto certificate = co_await own_certificate(context, flow.owner.identity());
  if (!certificate) co_return fail(Source::local, Reason::certificate_missing);
  net::Share& source = context.shares.of(flow.client_address.ip);
  auto allowed = context.shares.handshake(source);
  if (!allowed) co_return std::unexpected(allowed.error());
  flow.client.set_reset_on_close(false);
  auto carrier =
      mesh::Carrier::acceptor(context.driver, std::move(flow.client), certificate, flow.carrier_events(),
                              {.settings = {.sessions_max = limits::sessions_per_lane},
                               .budget = &flow.owner.budget,
                               .peer_budget = &source.windows},
                              context.chains);
  if (!carrier) co_return std::unexpected(carrier.error());
  flow.carrier = std::move(*carrier);
  const Status shaken = co_await flow.carrier->handshake(std::move(hello.bytes));
  allowed->release();
  count_handshake(context, *flow.carrier, shaken);
  if (!shaken) {
    co_await flow.carrier->give_up(shaken.error());
    co_return shaken;
  }
  flow.record.discard();  // sessions have their own records
  ++context.counters.lanes_opened;
  co_await flow.carrier->run();
  const Error& end = *flow.carrier->ended();  // of what run() has ended there is an end
  ++context.counters.lanes_closed[static_cast<size_t>(end.reason)];
  // A peer that breaks the rules is told of by name, whether or not it had a session to be told of with.
  if (end.reason != Reason::protocol_error && end.reason != Reason::tls_error) co_return Status();
  flow.record.restore();
  flow.record.facts.labels.edit().security = telemetry::Security::mtls;
  flow.record.facts.labels.edit().source.principal = flow.carrier->peer_identity();
  co_return std::unexpected(end);
}

io::Task<Status> corridor(InboundFlow& flow) {
  Context& context = flow.context;
  const config::Workload* workload = flow.owner.workload();
  if (!workload) co_return fail(Source::config, Reason::unknown_pod);
  const config::TlsMode mode = workload->mode_of(flow.local.port);
  if (mode == config::TlsMode::disabled) co_return co_await pass_on(flow, {});
  const bool server_first = flow.owner.server_first_ports.contains(flow.local.port);
  io::TimePoint silence = context.driver.now() + limits::first_flight_timeout;
  if (!known_peer(context, flow.client_address.ip) && mode == config::TlsMode::permissive) {
    silence = context.driver.now() + (server_first ? std::chrono::milliseconds(0) : limits::detect_timeout);
  }
  auto hello = co_await detect::first_bytes(context.driver, flow.client, silence);
  if (!hello) co_return std::unexpected(hello.error());
  if (hello->protocol == detect::Protocol::weir) co_return co_await serve_peer(flow, std::move(*hello));
  if (hello->fin && hello->bytes.empty()) co_return fail(Source::downstream, Reason::client_closed);
  workload = flow.owner.workload();  // the snapshot may be another by now
  if (!workload) co_return fail(Source::config, Reason::unknown_pod);
  if (const Status admitted = policy::admit(workload->mode_of(flow.local.port), false); !admitted) {
    co_return admitted;
  }
  co_return co_await pass_on(flow, std::move(*hello));
}

io::Task<void> run(InboundFlow& flow) {
  if (!flow.why) {
    const Status status = co_await corridor(flow);
    if (!status && !flow.why) flow.why = status.error();
  }
  flow.client.close();
}

}  // namespace

void start_inbound(LocalPod& destination, int fd, Seat seat) {
  auto* flow = new InboundFlow(destination, fd, std::move(seat));
  io::Driver& driver = destination.context.driver;
  const auto local = driver.local_address(fd);
  const auto client = driver.peer_address(fd);
  driver.set_no_delay(fd);
  driver.set_reset_on_close(fd, true);
  if (local) flow->local = *local;
  if (client) flow->client_address = *client;
  label(*flow, telemetry::Security::none);
  if (client) flow->set_share(io::share_of(client->ip));
  if (!local || !client) {
    flow->why = Error{Source::downstream, Reason::client_reset, 0, {}};
  } else if (local->ip.is_loopback()) {
    flow->why = Error{Source::downstream, Reason::loop, 0, {}};
  } else {
    flow->take_place(client->ip, fd);
  }
  flow->spawn(run(*flow));
}

}  // namespace weir::flow

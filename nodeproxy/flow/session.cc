// The corridor of one session, top to bottom. See session.h.
#include "nodeproxy/flow/session.h"

#include "nodeproxy/detect/detect.h"
#include "nodeproxy/flow/http_corridor.h"
#include "nodeproxy/flow/parties.h"
#include "nodeproxy/flow/verdicts.h"
#include "nodeproxy/io/sleep.h"
#include "nodeproxy/mesh/session_stream.h"
#include "nodeproxy/net/connect.h"
#include "nodeproxy/relay/relay.h"
#include "nodeproxy/relay/session_end.h"
#include "nodeproxy/relay/socket_end.h"
#include "nodeproxy/upstream/byte_streams.h"

namespace weir::flow {
namespace {

class SessionFlow final : public Flow {
 public:
  using Flow::Flow;

  std::unique_ptr<upstream::SessionBytes> bytes = std::make_unique<upstream::SessionBytes>();
  mesh::SessionStream& session = bytes->session;
  mesh::Carrier* carrier = nullptr;  // lives as long as its sessions
  Permit connection;                 // to the application

  const SocketAddress& client_address() const { return record.facts.client; }
  const SocketAddress& local() const { return record.facts.dialled; }
  const std::string& client_identity() const { return record.facts.labels->source.principal; }
};

void label(telemetry::Facts& facts, const LocalPod& owner, const mesh::Carrier& carrier,
           const SocketAddress& client, const SocketAddress& local) {
  const config::Snapshot* snapshot = owner.context.snapshot;
  const config::Workload* source = snapshot ? snapshot->workload_at(client.ip) : nullptr;
  // The address may be another workload's by now; what TLS proved is who it is.
  if (source && source->identity != carrier.peer_identity()) source = nullptr;
  const config::Workload* destination = owner.workload();
  telemetry::Labels& labels = facts.labels.edit();
  facts.reporter = labels.reporter = telemetry::Reporter::destination;
  facts.client = client;
  facts.dialled = facts.endpoint = local;
  facts.source_pod = pod_name(source);
  facts.destination_pod = pod_name(destination);
  labels.source = party_of(source);
  labels.source.principal = carrier.peer_identity();
  labels.destination = party_of(destination);
  labels.security = telemetry::Security::mtls;
}

// A policy looks into requests: HTTP is walked one by one; what is not HTTP stays opaque, and is judged as that.
io::Task<Status> pass_on_http(SessionFlow& flow, detect::Heard first) {
  flow.register_judged(flow.owner, {.identity = flow.client_identity(),
                                    .client = flow.client_address().ip,
                                    .port = flow.local().port,
                                    .secured = true,
                                    .parsed = true});
  HttpCorridor http(flow, std::move(flow.bytes), true);
  http.client.address = flow.client_address();
  http.client.dialled = flow.local();
  http.client.identity = flow.client_identity();
  http.client.on_refused = [&flow] { flow.carrier->drain(); };
  co_return co_await http.run(std::move(first));
}

// What the session's client says first. OPENED is said before: it speaks only then if its protocol waits for that.
io::Task<Result<detect::Heard>> first_words(SessionFlow& flow) {
  detect::Heard heard;
  flow.session.accept_open();
  const io::TimePoint silence = flow.context.driver.now() + limits::detect_timeout;
  heard.speech = detect::Speech::need_more;
  while (heard.speech == detect::Speech::need_more) {
    auto more = co_await flow.session.read(silence);
    if (!more && more.error().reason == Reason::detect_timeout)
      break;  // its server speaks first, or nobody does
    if (!more) co_return std::unexpected(more.error());
    heard.fin = more->empty();
    if (heard.fin) break;
    heard.bytes = heard.bytes.empty() ? std::move(*more) : io::joined(heard.bytes.bytes(), more->bytes());
    heard.speech = detect::speech_of(heard.bytes.bytes(), true);
  }
  if (heard.speech == detect::Speech::need_more) heard.speech = detect::Speech::opaque;
  co_return heard;
}

// Policy, then the application. A coroutine of its own, so that an idle session does not keep its frame.
io::Task<Result<io::Socket>> to_application(SessionFlow& flow, bool requests_needed) {
  Context& context = flow.context;
  const config::Workload* workload = flow.owner.workload();
  if (!workload) co_return fail(Source::config, Reason::unknown_pod);
  const policy::Verdict verdict =
      policy::judge(*workload, flow.local().port, {flow.client_identity(), flow.client_address().ip});
  count_audits(context, verdict);
  name_rule(flow.record.facts, verdict);
  if (!verdict.allowed) co_return fail(Source::policy, verdict.reason);
  flow.register_judged(flow.owner, {.identity = flow.client_identity(),
                                    .client = flow.client_address().ip,
                                    .port = flow.local().port,
                                    .secured = true,
                                    .requests_needed = requests_needed});
  auto place = context.shares.connection(flow.client_address().ip);
  if (!place) co_return std::unexpected(place.error());
  flow.connection = std::move(*place);
  auto server = co_await net::connect(
      context.driver, net::to_application(flow.owner.netns_fd(), flow.client_address().ip, flow.local(),
                                          context.ports.application));
  // Nobody listens there any more. The lane's socket stands on that port as a connection of the application's own
  // would: one that does not set SO_REUSEADDR could not listen again as long as clients go on trying.
  if (!server && server.error().reason == Reason::refused) flow.carrier->drain();
  co_return std::move(server);
}

// What is not HTTP, or need not be looked into.
io::Task<Status> opaque(SessionFlow& flow, io::Buffer first, bool requests_needed) {
  auto server = co_await to_application(flow, requests_needed);
  if (!server) co_return std::unexpected(server.error());
  flow.record.opened(flow.context.sink);
  if (!requests_needed) flow.session.accept_open();
  relay::SessionEnd client_end(flow.session);
  if (!first.empty()) client_end.put_back(std::move(first));
  relay::SocketEnd server_end(*server);
  relay::Ends ends(flow.record.sent_bytes, flow.record.received_bytes);
  co_await relay::run(flow, client_end, server_end, ends);
  if (ends.error) {
    if (!flow.why) flow.why = ends.error;
  } else {
    server->set_reset_on_close(false);
  }
  co_return Status();
}

// Where a policy needs to know requests.
io::Task<Status> looked_into(SessionFlow& flow) {
  auto first = co_await first_words(flow);
  if (!first) co_return std::unexpected(first.error());
  if (first->speech != detect::Speech::opaque) co_return co_await pass_on_http(flow, std::move(*first));
  co_return co_await opaque(flow, std::move(first->bytes), true);
}

// Begins in a turn of its own: one read of a lane may hold hundreds of OPENs, each of which costs a connect(2).
io::Task<void> run(SessionFlow& flow) {
  co_await io::Yield{flow.driver()};
  if (!flow.why) flow.why = flow.session.failed();
  if (!flow.why) {
    const config::Workload* workload = flow.owner.workload();
    Status status;
    if (workload && policy::needs_request(*workload, flow.local().port)) {
      status = co_await looked_into(flow);
    } else {
      io::Buffer nothing;
      status = co_await opaque(flow, std::move(nothing), false);
    }
    if (!status && !flow.why) flow.why = status.error();
  }
  if (flow.why && flow.bytes) flow.session.abandon(flow.why->reason);
}

}  // namespace

void start_session(LocalPod& destination, mesh::Carrier& carrier, mesh::Session& session,
                   const mesh::OpenInfo& info, const SocketAddress& local, Permit place) {
  auto* flow = new SessionFlow(destination.context, destination);
  flow->place = std::move(place);
  ++destination.context.counters.sessions_opened;
  flow->session.attach(carrier, session);
  flow->carrier = &carrier;
  label(flow->record.facts, destination, carrier, info.client, local);
  flow->spawn(run(*flow));
}

void refuse_session(LocalPod& destination, const mesh::Carrier& carrier, const mesh::OpenInfo& info,
                    const SocketAddress& local, const Error& why) {
  Context& context = destination.context;
  telemetry::Record record(context.driver.now());
  label(record.facts, destination, carrier, info.client, local);
  record.end(context.sink, context.driver.now(), why);
}

void count_handshake(Context& context, const mesh::Carrier& carrier, const Status& outcome) {
  telemetry::WorkerCounters& counters = context.counters;
  if (!outcome) {
    ++counters.handshakes_failed[static_cast<size_t>(outcome.error().reason)];
  } else if (carrier.resumed()) {
    ++counters.handshakes_resumed_server;
  } else {
    ++counters.handshakes_full_server;
  }
}

}  // namespace weir::flow

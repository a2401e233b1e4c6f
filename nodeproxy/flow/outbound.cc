// The corridor of an outbound connection, top to bottom. See outbound.h and nodeproxy/README.md.
#include "nodeproxy/flow/outbound.h"

#include "nodeproxy/flow/early.h"
#include "nodeproxy/flow/hop.h"
#include "nodeproxy/flow/http_corridor.h"
#include "nodeproxy/flow/parties.h"
#include "nodeproxy/flow/target.h"
#include "nodeproxy/flow/verdicts.h"
#include "nodeproxy/io/sleep.h"
#include "nodeproxy/net/connect.h"
#include "nodeproxy/policy/judge.h"
#include "nodeproxy/relay/relay.h"
#include "nodeproxy/relay/session_end.h"
#include "nodeproxy/relay/socket_end.h"
#include "nodeproxy/upstream/byte_streams.h"
#include "nodeproxy/upstream/lane_pool.h"

namespace weir::flow {
namespace {

constexpr auto kNewsEvery = std::chrono::milliseconds(25);

class OutboundFlow final : public Flow {
 public:
  OutboundFlow(LocalPod& source, int fd, Seat seat)
      : Flow(source.context, source, std::move(seat)), client(source.context.driver, fd) {}

  io::Socket client;
  relay::SocketEnd client_end{client};
  std::vector<uint64_t> tried;
  balance::State::Lease lease;
  Early early;
  // An application may have been given these bytes by a session whose fate is not known: no other may be.
  bool in_doubt = false;
  bool silent = false;                                    // it was listened to, and had said nothing
  std::unique_ptr<telemetry::Record> destination_record;  // of a one-pass flow: the other reporter's

  const SocketAddress& client_address() const { return record.facts.client; }
  const SocketAddress& dialled() const { return record.facts.dialled; }
  void publish_bytes() override {
    record.publish_bytes();
    if (destination_record) destination_record->publish_bytes();
  }

 protected:
  void on_end(const Error& error) override {
    if (destination_record) destination_record->end(context.sink, context.driver.now(), error);
  }
};

// Whether another endpoint may be tried after this failure: nothing has reached an application, and it was not we who
// had no room.
bool retryable(const Error& error) {
  switch (error.reason) {
    case Reason::overloaded: return error.source != Source::local;
    case Reason::denied:
    case Reason::not_allowed:
    case Reason::cancelled:
    case Reason::client_closed:
    case Reason::client_reset:
    case Reason::certificate_missing: return false;
    default: return true;
  }
}

// One endpoint for this try: the balancer's choice for a service, or the workload that was dialled.
Result<Hop> choose(OutboundFlow& flow, const Target& target) {
  Context& context = flow.context;
  if (const auto* to = std::get_if<ToService>(&target)) {
    flow.record.facts.labels.edit().service = to->service->name;
    const auto choice = balance::pick(
        ask(context, flow.owner, *to->service, flow.dialled().port, flow.client_address(), flow.tried),
        context.balance);
    if (!choice) return std::unexpected(choice.error());
    return hop_to(context, flow.owner, *choice);
  }
  const auto* to = std::get_if<ToWorkload>(&target);
  return hop_to(context, flow.owner, to ? to->workload : nullptr, flow.dialled());
}

// Bytes both ways until the end; what ended it goes into the flow.
template <typename Server>
io::Task<void> relay_to(OutboundFlow& flow, Server& server) {
  flow.tried = std::vector<uint64_t>();  // no other will be, and an idle connection need not hold them
  flow.record.opened(flow.context.sink);
  if (flow.destination_record) flow.destination_record->opened(flow.context.sink);
  relay::Ends ends(flow.record.sent_bytes, flow.record.received_bytes);
  co_await relay::run(flow, flow.client_end, server, ends);
  if (flow.destination_record) {
    flow.destination_record->sent_bytes = flow.record.sent_bytes;
    flow.destination_record->received_bytes = flow.record.received_bytes;
  }
  if (ends.error) {
    if (!flow.why) flow.why = ends.error;
  } else {
    flow.client.set_reset_on_close(false);
  }
}

// HTTP, request by request: to where routes say, or to the application of this hop alone.
io::Task<Status> walk(OutboundFlow& flow, detect::Heard first, std::optional<Hop> only) {
  HttpCorridor http(flow, std::make_unique<upstream::SocketBytes>(std::move(flow.client)), only.has_value());
  http.client.identity = flow.owner.identity();
  http.client.address = flow.client_address();
  http.client.dialled = only ? only->to : flow.dialled();
  http.client.service = flow.record.facts.labels->service;
  if (only) http.client.local_uid = only->workload_uid;
  co_return co_await http.run(std::move(first));
}

// Same node, one pass: the destination's policy here, then its application, from the client's namespace.
io::Task<Status> by_local(OutboundFlow& flow, const Hop& hop) {
  Context& context = flow.context;
  LocalPod* destination = context.pod(hop.workload_uid);
  const config::Workload* workload = destination ? destination->workload() : nullptr;
  if (!workload) co_return fail(Source::local, Reason::pod_removed);
  const bool requests_needed = policy::needs_request(*workload, hop.to.port);
  if (requests_needed) {
    auto heard = co_await flow.early.listen(context.driver, flow.client);
    if (!heard) co_return std::unexpected(heard.error());
    if (heard->speech != detect::Speech::opaque) co_return co_await walk(flow, std::move(*heard), hop);
    flow.early.begin_with(std::move(heard->bytes));
    destination = context.pod(hop.workload_uid);
    workload = destination ? destination->workload() : nullptr;
    if (!workload) co_return fail(Source::local, Reason::pod_removed);
  }
  const policy::Verdict verdict =
      policy::judge(*workload, hop.to.port, {flow.owner.identity(), flow.client_address().ip});
  count_audits(context, verdict);
  auto other = std::make_unique<telemetry::Record>(flow.record.begun());
  other->facts = flow.record.facts;
  other->facts.reporter = other->facts.labels.edit().reporter = telemetry::Reporter::destination;
  name_rule(flow.record.facts, verdict);
  name_rule(other->facts, verdict);
  flow.destination_record = std::move(other);
  if (!verdict.allowed) co_return fail(Source::policy, verdict.reason);
  const auto place = context.shares.connection(flow.client_address().ip);
  if (!place) {
    flow.destination_record.reset();
    co_return std::unexpected(place.error());
  }
  auto socket = co_await net::connect(
      context.driver,
      net::to_local_pod(flow.owner.netns_fd(), flow.client_address().ip, hop.to, context.ports.application));
  if (!socket) {
    flow.destination_record.reset();
    co_return std::unexpected(socket.error());
  }
  destination = context.pod(hop.workload_uid);
  if (!destination) co_return fail(Source::local, Reason::pod_removed);
  flow.register_judged(*destination, {.identity = flow.owner.identity(),
                                      .client = flow.client_address().ip,
                                      .port = hop.to.port,
                                      .secured = true,
                                      .requests_needed = requests_needed});
  flow.early.hand_over(flow.client_end);
  relay::SocketEnd server(*socket);
  co_await relay_to(flow, server);
  if (!flow.why) socket->set_reset_on_close(false);
  co_return Status();
}

// To what is outside the mesh, or a peer whose mode is Disabled: plain TCP from the pod.
io::Task<Status> by_plain(OutboundFlow& flow, const Hop& hop) {
  const auto place = flow.context.shares.connection(flow.client_address().ip);
  if (!place) co_return std::unexpected(place.error());
  auto socket = co_await net::connect(
      flow.context.driver, net::to_outside(flow.owner.netns_fd(), flow.client_address().ip, hop.to));
  if (!socket) co_return std::unexpected(socket.error());
  flow.early.hand_over(flow.client_end);
  relay::SocketEnd server(*socket);
  co_await relay_to(flow, server);
  if (!flow.why) socket->set_reset_on_close(false);
  co_return Status();
}

// Not in the frame below, which an idle connection keeps.
Status open(OutboundFlow& flow, const Hop& hop, const std::shared_ptr<const tls::Context>& certificate,
            mesh::SessionStream& session) {
  const upstream::LaneKey key{flow.owner.uid(), flow.client_address().ip, hop.to, hop.identity,
                              hop.workload_uid};
  return flow.context.lanes->open(key, certificate, flow.owner.netns_fd(), flow.client_address(), session);
}

// A session on a lane to the endpoint's proxy, as this pod. What the client sent meanwhile is kept until the
// application has accepted, so that another endpoint can be tried.
io::Task<Status> by_lane(OutboundFlow& flow, const Hop& hop) {
  Context& context = flow.context;
  mesh::SessionStream session;
  {
    const auto certificate = co_await own_certificate(context, flow.owner.identity());
    if (!certificate) co_return fail(Source::local, Reason::certificate_missing);
    const Status opened = open(flow, hop, certificate, session);
    if (!opened) co_return opened;
  }
  const Status through = co_await flow.early.until_opened(context.driver, flow.client, session);
  if (!through) {
    flow.in_doubt = !session.untouched();
    session.abandon(through.error().reason);
    co_return through;
  }
  flow.record.sent_bytes += flow.early.forwarded_bytes();
  relay::SessionEnd server(session);
  co_await relay_to(flow, server);
  if (flow.why) session.abandon(flow.why->reason);
  co_return Status();
}

// What the address means, held for news when the snapshot does not know it (yet).
io::Task<Result<Target>> resolve(OutboundFlow& flow) {
  const io::TimePoint last = flow.context.driver.now() + limits::unknown_destination_hold;
  for (;;) {
    if (flow.context.snapshot) {
      const Target target = target_of(*flow.context.snapshot, flow.dialled());
      if (!std::holds_alternative<ToUnknown>(target)) co_return target;
    }
    if (flow.context.driver.now() >= last) co_return fail(Source::config, Reason::unknown_destination);
    if (!co_await io::sleep(flow.context.driver, kNewsEvery))
      co_return fail(Source::local, Reason::cancelled);
  }
}

// The hop is the caller's, who waits for the end.
io::Task<Status> one_try(OutboundFlow& flow, const Hop& hop) {
  switch (hop.way) {
    case upstream::Way::lane: return by_lane(flow, hop);
    case upstream::Way::local: return by_local(flow, hop);
    case upstream::Way::plain: break;
  }
  return by_plain(flow, hop);
}

// Opaque bytes: one endpoint after another until one has accepted.
io::Task<Status> opaque(OutboundFlow& flow) {
  Context& context = flow.context;
  Status last = fail(Source::local, Reason::no_endpoint);
  for (int tries = 0; tries < limits::connect_tries; ++tries) {
    // Again by the newest snapshot: the one before may be gone since the last suspension.
    auto hop = choose(flow, target_of(*context.snapshot, flow.dialled()));
    if (!hop) co_return tries == 0 ? Status(std::unexpected(hop.error())) : last;
    label(flow.record.facts, context, flow.owner, *hop);
    if (hop->endpoint_id != 0) {
      flow.tried.push_back(hop->endpoint_id);
      flow.lease = context.balance.lease(hop->endpoint_id);
    }
    const bool more = hop->endpoint_id != 0, by_lane = hop->way == upstream::Way::lane;
    last = co_await one_try(flow, *hop);
    if (last || flow.why || flow.in_doubt) co_return last;
    // GOAWAY and OPEN crossed: the endpoint's proxy is being replaced, and its successor answers at the same address.
    if (by_lane && last.error().reason == Reason::draining) {
      if (more) flow.tried.pop_back();
      continue;
    }
    if (!more || !retryable(last.error())) co_return last;
  }
  co_return last;
}

// What the port of the service is declared to carry; a route makes it HTTP.
detect::Hint hint_of(const OutboundFlow& flow, const ToService& to) {
  if (!to.port) return detect::Hint::opaque;
  const config::Workload* self = flow.owner.workload();
  if (self && to.service->routes_for(to.port->port, self->ns)) return detect::Hint::http;
  const detect::Hint hint = detect::hint_of(to.port->app_protocol, to.port->name, to.port->port);
  const bool server_first = flow.owner.server_first_services.contains(flow.dialled());
  return hint == detect::Hint::unknown && server_first ? detect::Hint::opaque : hint;
}

// What the client says first, where it decides what becomes of it; who dials what is declared opaque is not listened to.
io::Task<Result<detect::Heard>> first_words(OutboundFlow& flow) {
  const auto known = co_await resolve(flow);
  if (!known) co_return std::unexpected(known.error());
  const auto* service = std::get_if<ToService>(&*known);
  if (service) flow.record.facts.labels.edit().service = service->service->name;
  const detect::Hint hint = service ? hint_of(flow, *service) : detect::Hint::opaque;
  if (hint == detect::Hint::opaque) {
    detect::Heard unheard;
    unheard.speech = detect::Speech::opaque;
    co_return std::move(unheard);
  }
  auto first = co_await detect::application_speech(flow.context.driver, flow.client, hint);
  if (first) flow.silent = first->bytes.empty() && !first->fin;
  co_return std::move(first);
}

// An idle connection keeps the frames of this and of the one that is awaited at the end: hence what comes before in one
// of its own.
io::Task<Status> corridor(OutboundFlow& flow) {
  auto first = co_await first_words(flow);
  if (!first) co_return std::unexpected(first.error());
  if (first->speech == detect::Speech::http1 || first->speech == detect::Speech::http2) {
    co_return co_await walk(flow, std::move(*first), std::nullopt);
  }
  flow.early.begin_with(std::move(first->bytes));
  const Status status = co_await opaque(flow);
  // A server that spoke to a client which had said nothing: nobody waits at that port again.
  if (flow.silent && flow.record.received_bytes > 0) flow.owner.server_first_services.insert(flow.dialled());
  co_return status;
}

io::Task<void> run(OutboundFlow& flow) {
  if (!flow.why) {
    const Status status = co_await corridor(flow);
    if (!status && !flow.why) flow.why = status.error();
  }
  flow.lease.release();
  flow.client.close();
}

}  // namespace

void start_outbound(LocalPod& source, int fd, Seat seat) {
  auto* flow = new OutboundFlow(source, fd, std::move(seat));
  io::Driver& driver = source.context.driver;
  const auto dialled = driver.local_address(fd);
  const auto client = driver.peer_address(fd);
  driver.set_no_delay(fd);
  driver.set_reset_on_close(fd, true);
  if (dialled) flow->record.facts.dialled = *dialled;
  if (client) flow->record.facts.client = *client;
  label(flow->record.facts, flow->context, source, Hop{});
  if (client) flow->set_share(io::share_of(client->ip));
  if (!dialled || !client) {
    flow->why = Error{Source::downstream, Reason::client_reset, 0, {}};
  } else if (dialled->ip.is_loopback()) {
    flow->why = Error{Source::downstream, Reason::loop, 0, {}};
  } else {
    flow->take_place(client->ip, fd);
  }
  flow->spawn(run(*flow));
}

}  // namespace weir::flow

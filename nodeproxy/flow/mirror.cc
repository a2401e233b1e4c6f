// The corridor of a mirrored request. See mirror.h.
#include "nodeproxy/flow/mirror.h"

#include "nodeproxy/balance/pick.h"
#include "nodeproxy/flow/http_hop.h"
#include "nodeproxy/flow/verdicts.h"

namespace weir::flow {
namespace {

constexpr auto kPatience = std::chrono::seconds(30);

class MirrorFlow final : public Flow {
 public:
  MirrorFlow(LocalPod& source, const http::Head& original, const config::Mirror& to,
             const SocketAddress& client, bool h2)
      : Flow(source.context, source), head(original), to(to), client(client), h2(h2) {
    record.discard();
  }

  http::Head head;
  config::Mirror to;
  SocketAddress client;
  bool h2;
  std::shared_ptr<MirrorPipe> pipe = std::make_shared<MirrorPipe>();
};

// In one pass the destination's policy holds for a copy as for any request.
bool allowed(MirrorFlow& flow, const Hop& hop) {
  if (hop.way != upstream::Way::local) return true;
  const LocalPod* pod = flow.context.pod(hop.workload_uid);
  const config::Workload* workload = pod ? pod->workload() : nullptr;
  if (!workload) return false;
  return judge_request(*workload, hop.to.port, {flow.owner.identity(), flow.client.ip}, flow.head).allowed;
}

io::Task<Result<upstream::HttpLease>> reach(MirrorFlow& flow, io::TimePoint last) {
  Context& context = flow.context;
  const config::Service* service = context.snapshot->services_by_name.find(flow.to.service);
  if (!service) co_return fail(Source::local, Reason::no_endpoint);
  balance::Request request = ask(context, flow.owner, *service, flow.to.port, flow.client, {});
  request.http = true;
  const auto choice = balance::pick(request, context.balance);
  if (!choice) co_return std::unexpected(choice.error());
  const Hop hop = hop_to(context, flow.owner, *choice);
  if (!allowed(flow, hop)) co_return fail(Source::policy, Reason::denied);
  const std::string name = service->name;  // the service goes with its snapshot
  const config::PoolSettings settings = service->traffic.pool;
  auto permit = context.balance.admit(*service, balance::Use::connection, context.driver.now());
  auto want = co_await want_for(flow.owner, hop, flow.client, speaks_h2(*choice, flow.h2, true), last);
  if (!want) co_return std::unexpected(want.error());
  if (!permit && !context.http->has_room(want->key, false)) co_return std::unexpected(permit.error());
  want->service = name;
  want->settings = settings;
  if (permit) want->permit = std::move(*permit);
  co_return co_await context.http->lease(std::move(*want));
}

// The copy of the request, as far as it has come, until it is whole.
io::Task<Status> send(MirrorFlow& flow, http::MessageStream& stream, io::TimePoint last) {
  bool first = true;
  for (;;) {
    http::Piece piece;
    piece.body = flow.pipe->take();
    piece.end = flow.pipe->ended();
    if (flow.pipe->given_up()) co_return fail(Source::local, Reason::overloaded);
    if (first) piece.head = &flow.head;
    const bool end = piece.end;
    if (first || end || !piece.body.empty()) {
      const Status written = co_await stream.write(std::move(piece), last);
      if (!written || end) co_return written;
      first = false;
      continue;
    }
    const Status waited = co_await flow.pipe->changed().wait(last);
    if (!waited) co_return waited;
  }
}

io::Task<void> run(MirrorFlow& flow) {
  const io::TimePoint last = flow.driver().now() + kPatience;
  auto lease = co_await reach(flow, last);
  if (!lease) co_return;
  const Status sent = co_await send(flow, lease->stream(), last);
  if (!sent) {
    lease->stream().give_up();
    co_return;
  }
  for (;;) {
    const auto piece = co_await lease->stream().read(last);
    if (!piece) {
      lease->stream().give_up();
      co_return;
    }
    if (piece->end) co_return;
  }
}

}  // namespace

void MirrorPipe::add(std::span<const std::byte> bytes, bool end) {
  if (given_up_) return;
  if (queued_bytes_ + bytes.size() > limits::http_retry_body_max_bytes) {
    given_up_ = true;
    queue_.clear();
  } else if (!bytes.empty()) {
    queue_.push_back(io::copy_to_buffer(bytes));
    queued_bytes_ += bytes.size();
  }
  end_ = end_ || end;
  changed_.notify();
}

void MirrorPipe::close(bool whole) {
  if (!end_ && !whole) given_up_ = true;
  end_ = true;
  changed_.notify();
}

io::Buffer MirrorPipe::take() {
  if (queue_.empty()) return {};
  io::Buffer buffer = std::move(queue_.front());
  queue_.erase(queue_.begin());
  queued_bytes_ -= buffer.size();
  return buffer;
}

std::shared_ptr<MirrorPipe> start_mirror(LocalPod& source, const http::Head& head, const config::Mirror& to,
                                         const SocketAddress& client, bool h2) {
  auto* flow = new MirrorFlow(source, head, to, client, h2);
  std::shared_ptr<MirrorPipe> pipe = flow->pipe;
  flow->spawn(run(*flow));
  return pipe;
}

}  // namespace weir::flow

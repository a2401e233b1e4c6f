// Serving the requests of one connection. See http_corridor.h.
#include "nodeproxy/flow/http_corridor.h"

#include "nodeproxy/flow/refuse.h"

namespace weir::flow {

HttpCorridor::HttpCorridor(Flow& flow, std::unique_ptr<io::ByteStream> bytes, bool inbound)
    : client(flow, inbound), context_(flow.context), bytes_(std::move(bytes)) {}

HttpCorridor::~HttpCorridor() = default;

io::Task<Status> HttpCorridor::run(detect::Heard first) {
  client.h2 = first.speech == detect::Speech::http2;
  client.facts = client.flow.record.facts;
  client.flow.record.discard();  // requests have their own records
  client.flow.judgement.parsed = true;
  client.flow.http = this;
  Status status;
  if (client.h2) {
    status = co_await run_h2(std::move(first.bytes));
  } else {
    status = co_await run_h1(std::move(first.bytes));
  }
  client.flow.http = nullptr;
  client.end_application(status ? Reason::none : status.error().reason);
  co_await client.application_gone();
  co_return status;
}

void HttpCorridor::drain() {
  draining_ = true;
  if (h1_) h1_->drain();
  if (h2_) h2_->drain();
}

// One request and its response. Whether another may follow on this connection.
io::Task<bool> HttpCorridor::one_exchange(http::H1Server& server) {
  auto first = co_await server.next();
  if (!first) {
    if (refusable(first.error())) {
      server.close_after_answer();
      co_await refuse(client, server, first.error(), server.error_status());
    }
    co_return false;
  }
  changed_.clear();
  Exchange exchange(client, server, [this](Exchange&) { changed_.notify(); });
  exchange.start(std::move(*first));
  while (!exchange.empty()) {
    const Status waited = co_await changed_.wait();
    if (waited) continue;
    exchange.end(client.flow.why ? client.flow.why->reason : Reason::cancelled);
    co_await exchange.join();
  }
  if (!exchange.in_order()) co_return false;
  co_return co_await server.settle();
}

io::Task<Status> HttpCorridor::run_h1(io::Buffer first) {
  http::H1Server server(context_.driver, *bytes_);
  server.ahead().put_back(std::move(first));
  h1_ = &server;
  if (draining_) server.drain();
  io::ChildScope reading(context_.driver);
  reading.spawn(server.ahead().run());
  bool more = true;
  while (more) more = co_await one_exchange(server);
  h1_ = nullptr;
  if (server.in_order()) co_await server.linger();
  reading.cancel();
  co_await reading.join();
  bytes_.reset();
  co_return Status();
}

io::Task<Status> HttpCorridor::run_h2(io::Buffer first) {
  http::H2Server server(context_.driver, *bytes_, *this);
  server.put_back(std::move(first));
  h2_ = &server;
  if (draining_) server.drain();
  io::ChildScope moving(context_.driver), refusing(context_.driver);
  refusals_ = &refusing;
  moving.spawn(server.write());
  moving.spawn(server.read());
  while (!server.over()) {
    over_.clear();
    const Status waited = co_await server.changed().wait();
    if (waited) continue;
    server.terminate(client.flow.why ? client.flow.why->reason : Reason::cancelled);
    break;
  }
  for (const auto& exchange : exchanges_) exchange->end(Reason::client_reset);
  while (!exchanges_.empty()) co_await exchanges_.front()->join();
  over_.clear();
  refusing.cancel();
  co_await refusing.join();
  h2_ = nullptr;
  if (const auto& ended = server.connection().ended();
      ended && (ended->reason == Reason::flood || ended->reason == Reason::bad_request)) {
    note_broken(client, *ended);
  }
  const bool in_order = !client.flow.why && server.said_goodbye();
  moving.cancel();
  co_await moving.join();
  if (in_order) co_await leave_in_order();
  bytes_.reset();
  co_return Status();
}

// After GOAWAY.
io::Task<void> HttpCorridor::leave_in_order() {
  bytes_->close();
  bytes_->finish();
  http::ReadAhead ahead(*bytes_);
  io::ChildScope reading(context_.driver);
  reading.spawn(ahead.run());
  co_await ahead.linger(context_.driver);
  reading.cancel();
  co_await reading.join();
}

void HttpCorridor::on_request(http::MessageStream& stream, http::Piece first) {
  exchanges_.push_front(
      std::make_unique<Exchange>(client, stream, [this](Exchange& ended) { exchange_ended(ended); }));
  exchanges_.front()->start(std::move(first));
}

void HttpCorridor::on_request_too_large(http::MessageStream& stream, http::Piece) {
  refusals_->spawn(refuse_stream(stream));
}

io::Task<void> HttpCorridor::refuse_stream(http::MessageStream& stream) {
  co_await refuse(client, stream, Error{Source::downstream, Reason::head_too_large, 0, {}}, 431);
  if (h2_) h2_->release(stream);
}

void HttpCorridor::exchange_ended(Exchange& exchange) {
  for (auto at = exchanges_.begin(); at != exchanges_.end(); ++at) {
    if (at->get() != &exchange) continue;
    h2_->release(exchange.stream());
    over_.push_back(std::move(*at));
    exchanges_.erase(at);
    h2_->changed().notify();
    return;
  }
}

}  // namespace weir::flow

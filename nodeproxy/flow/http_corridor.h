#pragma once
// An HTTP connection of a client, from its first byte to its last: HTTP/1.1, one exchange after the other; HTTP/2, many
// at a time. Outbound and inbound corridors hand a connection over once detection has said HTTP.
// Thread: one worker. Lifetime: a local of the corridor that awaits run(); run() returns when nothing of it is left.
#include <list>
#include <memory>

#include "nodeproxy/detect/detect.h"
#include "nodeproxy/flow/exchange.h"
#include "nodeproxy/flow/http_client.h"
#include "nodeproxy/http/h1_server.h"
#include "nodeproxy/http/h2_server.h"
#include "nodeproxy/io/child_scope.h"

namespace weir::flow {

class HttpCorridor final : private http::H2ServerEvents {
 public:
  HttpCorridor(Flow& flow, std::unique_ptr<io::ByteStream> bytes, bool inbound);
  ~HttpCorridor();

  HttpClient client;

  // Serves requests until the connection ends. `first`: what detection read.
  io::Task<Status> run(detect::Heard first);
  // No more requests than those under way: `Connection: close`, GOAWAY.
  void drain();

 private:
  io::Task<Status> run_h1(io::Buffer first);
  io::Task<Status> run_h2(io::Buffer first);
  io::Task<bool> one_exchange(http::H1Server& server);
  io::Task<void> leave_in_order();
  void on_request(http::MessageStream& stream, http::Piece first) override;
  void on_request_too_large(http::MessageStream& stream, http::Piece first) override;
  io::Task<void> refuse_stream(http::MessageStream& stream);
  void exchange_ended(Exchange& exchange);

  Context& context_;
  std::unique_ptr<io::ByteStream> bytes_;
  http::H1Server* h1_ = nullptr;
  http::H2Server* h2_ = nullptr;
  std::list<std::unique_ptr<Exchange>> exchanges_;  // of HTTP/2
  std::vector<std::unique_ptr<Exchange>> over_;     // ended, destroyed from the loop
  io::ChildScope* refusals_ = nullptr;              // of HTTP/2
  io::Signal changed_;
  bool draining_ = false;
};

}  // namespace weir::flow

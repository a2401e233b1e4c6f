// Requests in, responses out, one at a time. See h1_server.h.
#include "nodeproxy/http/h1_server.h"

#include "nodeproxy/base/limits.h"

namespace weir::http {

H1Server::H1Server(io::Driver& driver, io::ByteStream& bytes)
    : driver_(driver), bytes_(bytes), stream_(bytes, h1::Decoder::Role::requests), writer_(bytes) {
  stream_.ahead().on_end([](void* self) { static_cast<H1Server*>(self)->on_end(); }, this);
}

// A client that ends its direction while it waits has gone, as servers commonly read it: few half-close, all give up. A
// tunnel's FIN is only its own direction's end.
void H1Server::on_end() {
  if (!watcher_ || stream_.tunnel()) return;
  const std::optional<Error>& error = stream_.ahead().error();
  if (error) {
    watcher_->on_aborted(Error{Source::downstream, Reason::client_reset, error->os_code, {}});
  } else if (request_whole_ && !response_whole_ && !stream_.ahead().stopped()) {
    watcher_->on_aborted(Error{Source::downstream, Reason::client_closed, 0, {}});
  }
}

io::Task<Result<Piece>> H1Server::next() {
  if (close_after_ || reset_) co_return fail(Source::local, Reason::none);
  Status there;
  if (!stream_.decoder().begun()) there = co_await stream_.wait_for_bytes();
  if (!there) co_return std::unexpected(there.error());
  auto piece = co_await stream_.read(driver_.now() + limits::http_header_timeout);
  if (!piece) {
    Error why = piece.error();
    if (why.reason == Reason::detect_timeout) why.reason = Reason::header_timeout;
    if (why.reason == Reason::server_reset) why.reason = Reason::client_closed;
    why.source = Source::downstream;
    co_return std::unexpected(why);
  }
  const Head& head = *piece->head;
  peer_ = head.version;
  to_head_ = head.method == "HEAD";
  to_connect_ = head.method == "CONNECT";
  request_whole_ = piece->end;
  response_whole_ = false;
  close_after_ = close_after_ || draining_ || !stream_.decoder().keep_alive();
  co_return piece;
}

io::Task<Result<Piece>> H1Server::read(io::TimePoint deadline) {
  if (reset_) co_return fail(Source::local, Reason::cancelled);
  auto piece = co_await stream_.read(deadline);
  if (piece) {
    request_whole_ = piece->end;
  } else if (piece.error().reason == Reason::server_reset || piece.error().reason == Reason::io) {
    co_return fail(Source::downstream, Reason::client_reset, piece.error().os_code);
  }
  co_return piece;
}

io::Task<Status> H1Server::write(Piece piece, io::TimePoint deadline) {
  if (reset_) co_return fail(Source::local, Reason::cancelled);
  if (piece.head) {
    const Head& head = *piece.head;
    // Before the request is whole a final answer may leave bytes that nobody will read: the connection ends.
    if (!head.informational() && head.status != 101) close_after_ = close_after_ || draining_;
    h1::ResponseOptions options{
        .close = close_after_, .to_head = to_head_, .to_connect = to_connect_, .peer = peer_};
    if (piece.end && !piece.trailers) options.whole_bytes = piece.body.size();
    const auto framing = h1::append_response_head(writer_.head(), head, options);
    if (!framing) co_return std::unexpected(framing.error());
    writer_.frame(*framing);
    if (*framing == h1::Body::to_close) close_after_ = true;
    if (head.status == 101 || (to_connect_ && head.status / 100 == 2)) stream_.become_tunnel();
  }
  const bool end = piece.end;
  const bool empty = piece.body.empty() && writer_.head().empty() && writer_.framing() != h1::Body::chunked;
  if (!empty) {
    const bool last = end && close_after_ && !stream_.tunnel();
    const Status written = co_await writer_.send(std::move(piece), deadline, last);
    if (!written) {
      const Error& why = written.error();
      if (why.reason == Reason::cancelled || why.reason == Reason::detect_timeout) co_return written;
      co_return fail(Source::downstream, Reason::client_reset, why.os_code);
    }
    finished_ = last;
  }
  if (end && stream_.tunnel()) bytes_.finish();
  if (end) response_whole_ = true;
  co_return Status();
}

void H1Server::reset(const Error& why) {
  if (reset_) return;
  reset_ = true;
  bytes_.abandon(why.reason);
}

io::Task<bool> H1Server::settle() {
  if (reset_ || stream_.tunnel() || !response_whole_ || writer_.broken()) co_return false;
  size_t passed = 0;
  while (!request_whole_ && !close_after_) {
    auto piece = co_await stream_.read(driver_.now() + limits::http_header_timeout);
    if (!piece) co_return false;
    passed += piece->body.size();
    request_whole_ = piece->end;
    if (passed > limits::http_discard_max_bytes) co_return false;
  }
  if (stream_.decoder().at_switch()) stream_.decoder().stay();
  co_return !close_after_;
}

io::Task<void> H1Server::linger() {
  bytes_.close();
  if (!finished_) bytes_.finish();
  co_await stream_.ahead().linger(driver_);
}

}  // namespace weir::http

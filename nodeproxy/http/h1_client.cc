// Requests out, responses in, one at a time. See h1_client.h.
#include "nodeproxy/http/h1_client.h"

#include "nodeproxy/http/websocket.h"

namespace weir::http {
namespace {

constexpr auto kLinger = std::chrono::seconds(2);

// What a failure of the stream is to an exchange: the server's end, not the client's.
Error as_server(Error why) {
  why.source = Source::upstream;
  if (why.reason == Reason::io || why.reason == Reason::client_reset) why.reason = Reason::server_reset;
  return why;
}

}  // namespace

H1Client::H1Client(io::Driver& driver, std::unique_ptr<io::ByteStream> bytes, ClientConnectionEvents& events)
    : ClientConnection(driver, std::move(bytes), events),
      stream_(*carrier_, h1::Decoder::Role::responses),
      writer_(*carrier_) {
  // Between exchanges nobody reads: a FIN, an error or stray bytes then end the connection.
  stream_.ahead().on_end(
      [](void* self) {
        auto& client = *static_cast<H1Client*>(self);
        if (client.exchanges() == 0 && !client.ended()) client.end(Reason::none);
      },
      this);
}

bool H1Client::can_begin() const {
  return exchanges() == 0 && !ended() && !retired() && !leaving() && request_whole_ && response_whole_ &&
         !stream_.leftover();
}

MessageStream& H1Client::begin() {
  exchange_begun();
  request_whole_ = response_whole_ = answered_ = false;
  reset_.reset();
  crossing_.reset();
  return *this;
}

bool H1Client::clean() const {
  return request_whole_ && response_whole_ && !reset_ && !writer_.broken() && !stream_.tunnel() &&
         stream_.decoder().reusable() && !stream_.leftover();
}

void H1Client::give_back(MessageStream&) {
  const bool fit = clean();
  if (!fit && !ended()) {
    if (request_whole_ && response_whole_ && !reset_) {
      carrier_->close();
    } else {
      carrier_->abandon(reset_.value_or(Reason::cancelled));
    }
    mark_ended();
  }
  exchange_ended();
}

void H1Client::end(Reason why) {
  if (why != Reason::none) {
    carrier_->abandon(why);
    ending();
    return;
  }
  if (ended()) return;
  carrier_->close();
  carrier_->finish();
  // In order is both ways: the peer's FIN is waited for, so that it does not see a reset of an idle connection.
  if (stream_.ahead().ready()) {
    ending();
  } else {
    mark_ending();
    spawn(linger());
  }
}

io::Task<void> H1Client::linger() {
  const auto last = co_await stream_.ahead().take(driver().now() + kLinger);
  if (!last) carrier_->abandon(Reason::none);
  cancel();
}

// An extended CONNECT is whole with its head, as the GET that it becomes here has no body.
Status H1Client::begin_request(const Piece& piece) {
  h1::RequestOptions options;
  if (piece.end && !piece.trailers) options.whole_bytes = piece.body.size();
  std::string key;
  if (piece.head->is_extended_connect()) {
    options.whole_bytes = 0;
    const bool websocket = websocket::is_asked_for(*piece.head);
    if (websocket) options.websocket_key = key = websocket::new_key();
    crossing_ = websocket ? websocket::accept(key) : std::string();
    request_whole_ = true;
  }
  const auto framing = h1::append_request_head(writer_.head(), *piece.head, options);
  if (!framing) return std::unexpected(framing.error());
  writer_.frame(*framing);
  stream_.decoder().expect_response_to(*piece.head);
  return {};
}

// RFC 8441 section 5: what is agreed to by 101 here is agreed to by 200 there. Another 2xx is an answer to a plain GET,
// and must not pass for an agreement.
Status H1Client::cross_answer(Head& head) const {
  if (!crossing_ || head.informational() || (head.status != 101 && head.status / 100 != 2)) return {};
  if (head.status != 101) return fail(Source::upstream, Reason::bad_response, "no switch, but no refusal");
  if (!crossing_->empty() && head.headers.get(websocket::kAccept) != *crossing_)
    return fail(Source::upstream, Reason::bad_response, "Sec-WebSocket-Accept is not of our key");
  head.status = 200;
  head.upgrade.clear();
  head.headers.remove(websocket::kAccept);
  return {};
}

io::Task<Status> H1Client::write(Piece piece, io::TimePoint deadline) {
  if (reset_) co_return fail(Source::local, *reset_);
  if (piece.head) {
    const Status begun = begin_request(piece);
    if (!begun) co_return begun;
  }
  // What nothing delimits are a tunnel's bytes. Before the switch a server would read them as its next request.
  if (!piece.body.empty() && writer_.framing() == h1::Body::none && !stream_.tunnel())
    co_return fail(Source::local, Reason::internal, "a tunnel's bytes before there is one");
  const bool end = piece.end;
  const bool empty = piece.body.empty() && writer_.head().empty() && writer_.framing() != h1::Body::chunked;
  if (!empty) {
    const Status written = co_await writer_.send(std::move(piece), deadline);
    if (reset_) co_return fail(Source::local, *reset_);
    if (!written) co_return std::unexpected(as_server(written.error()));
  }
  if (end) request_whole_ = true;
  if (end && stream_.tunnel()) carrier_->finish();
  co_return Status();
}

io::Task<Result<Piece>> H1Client::read(io::TimePoint deadline) {
  if (reset_) co_return fail(Source::local, *reset_);
  auto piece = co_await stream_.read(deadline);
  if (reset_) co_return fail(Source::local, *reset_);
  if (!piece) co_return std::unexpected(as_server(piece.error()));
  answered_ = true;
  if (piece->head && stream_.decoder().at_switch()) {
    stream_.become_tunnel();
    // What the client says into it has an end of its own, and nothing else may become a FIN.
    request_whole_ = false;
  }
  const Status crossed = piece->head ? cross_answer(*piece->head) : Status();
  if (!crossed) co_return std::unexpected(crossed.error());
  if (piece->end) response_whole_ = true;
  co_return piece;
}

void H1Client::reset(const Error& why) {
  if (reset_) return;
  reset_ = why.reason;
  carrier_->abandon(why.reason);
  stream_.ahead().stop();  // whoever reads sees the reset
}

}  // namespace weir::http

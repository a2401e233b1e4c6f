// See h2_message.h.
#include "nodeproxy/http/h2_message.h"

#include "nodeproxy/http/h2_rules.h"
#include "nodeproxy/http/h2_wire.h"
#include "nodeproxy/http/websocket.h"

namespace weir::http {
namespace {

constexpr size_t kBusyBytes = 16 * 1024;
constexpr size_t kRoomBytes = 64 * 1024;
constexpr auto kPatience = limits::connect_timeout;  // with a server's SETTINGS, its first words

}  // namespace

H2Message::~H2Message() {
  if (stream_ == 0) return;
  credit();
  wire_.connection().release(stream_);
}

void H2Message::on_head(Head&& head, bool end) {
  if (head.is_request()) {
    asks_for_tunnel_ = head.is_extended_connect() || head.method == "CONNECT";
  } else {
    tunnel_ = asks_for_tunnel_ && head.status / 100 == 2;
    if (tunnel_) wire_.note_tunnel();
  }
  heads_.push(std::move(head));
  end_ = end_ || end;
  arrived_.notify();
}

void H2Message::on_data(std::span<const std::byte> bytes) {
  // Bytes that wait are handed on together.
  if (!body_.empty()) bytes = bytes.subspan(body_.back().append(bytes));
  if (!bytes.empty()) {
    if (busy_ || !body_.empty()) {
      body_.push(io::make_room(std::max(bytes.size(), kRoomBytes)));
      body_.back().append(bytes);
    } else {
      body_.push(io::copy_to_buffer(bytes));
    }
  }
  arrived_.notify();
}

void H2Message::on_trailers(Headers&& trailers) {
  trailers_ = std::make_unique<Headers>(std::move(trailers));
}

void H2Message::on_end() {
  end_ = true;
  arrived_.notify();
}

void H2Message::on_reset(const Error& why, bool unprocessed) {
  // A whole answer before the request's end: only the upload stops. In a tunnel the other direction is a message too.
  if (wire_.connection().role() == h2::Role::client && end_ && !tunnel_ &&
      why.os_code == static_cast<int>(h2::kNoError)) {
    upload_stopped_ = true;
    drained_.notify();
    return;
  }
  error_ = why;
  lost_ = true;
  unprocessed_ = unprocessed;
  arrived_.notify();
  drained_.notify();
  if (watcher_) watcher_->on_aborted(why);
}

void H2Message::watch(Aborted* watcher) {
  watcher_ = watcher;
  if (watcher && lost_) watcher->on_aborted(*error_);
}

void H2Message::credit() {
  if (uncredited_bytes_ == 0) return;
  wire_.connection().consume(stream_, std::exchange(uncredited_bytes_, 0));
  wire_.flush();
}

// RFC 8441 section 5, and RFC 6455 section 4.2 for the server that HTTP/2 has relieved of it.
Status H2Message::cross(const Piece& piece) {
  const auto key = piece.head->headers.get(websocket::kKey);
  if (!key || !websocket::is_key(*key) || piece.head->headers.count(websocket::kKey) > 1)
    return fail(Source::local, Reason::bad_request, "no valid Sec-WebSocket-Key");
  if (!piece.end || !piece.body.empty())
    return fail(Source::local, Reason::bad_request, "a WebSocket's GET with a body");
  accept_ = websocket::accept(*key);
  return {};
}

// Waits for the server's SETTINGS, which say whether it takes an extended CONNECT; one that says nothing takes none.
io::Task<Status> H2Message::settings(io::TimePoint deadline) {
  while (!wire_.heard_settings() && !error_) {
    drained_.clear();
    const Status waited = co_await drained_.wait(deadline);
    if (!waited && waited.error().reason == Reason::detect_timeout) break;
    if (!waited) co_return waited;
  }
  if (error_) co_return std::unexpected(*error_);
  co_return Status();
}

void H2Message::cross_answer(Head& head) const {
  if (accept_.empty() || head.status / 100 != 2) return;
  head.status = 101;
  head.upgrade = "websocket";
  head.headers.set(websocket::kAccept, accept_);
}

Piece H2Message::take() {
  Piece piece;
  if (!heads_.empty()) {
    head_ = heads_.pop();
    cross_answer(head_);
    piece.head = &head_;
    if (head_.informational()) return piece;
  }
  if (!body_.empty() && heads_.empty()) {
    piece.body = body_.pop();
    uncredited_bytes_ += piece.body.size();
    busy_ = piece.body.size() >= kBusyBytes;
  }
  if (end_ && heads_.empty() && body_.empty()) {
    piece.end = end_given_ = true;
    piece.trailers = std::move(trailers_);
  }
  return piece;
}

io::Task<Result<Piece>> H2Message::read(io::TimePoint deadline) {
  credit();
  while (!something()) {
    arrived_.clear();
    const Status waited = co_await arrived_.wait(deadline);
    if (!waited) co_return std::unexpected(waited.error());
  }
  const bool left = !heads_.empty() || !body_.empty() || (end_ && !end_given_);
  if (error_ && (!left || wire_.connection().role() == h2::Role::server || !end_))
    co_return std::unexpected(*error_);
  co_return take();
}

io::Task<Status> H2Message::accepted(io::TimePoint deadline) { co_return co_await wire_.accepted(deadline); }

io::Task<Status> H2Message::write(Piece piece, io::TimePoint deadline) {
  if (error_) co_return std::unexpected(*error_);
  h2::Connection& connection = wire_.connection();
  const bool extended = piece.head && stream_ == 0 && h2::goes_as_extended_connect(*piece.head);
  const bool from_h1 = piece.head && piece.head->version != Version::http_2;
  if (extended) {
    const Status crossed = from_h1 ? cross(piece) : Status();
    if (!crossed) co_return crossed;
    const Status heard = co_await settings(std::min(deadline, wire_.driver().now() + kPatience));
    if (!heard) co_return heard;
  }
  // The end was the request's; the tunnel's is to come.
  if (from_h1 && stream_ == 0 && (extended || piece.head->method == "CONNECT")) piece.end = false;
  const bool head_alone = piece.head && piece.end && piece.body.empty() && !piece.trailers;
  if (piece.head && stream_ == 0) {
    const auto opened = connection.request(*piece.head, head_alone);
    if (!opened) {
      unprocessed_ = true;
      co_return std::unexpected(opened.error());
    }
    stream_ = *opened;
    asks_for_tunnel_ = extended || piece.head->method == "CONNECT";
    connection.set_user(stream_, this);
  } else if (piece.head) {
    const Status answered = connection.respond(stream_, *piece.head, head_alone);
    if (!answered) co_return answered;
    tunnel_ = asks_for_tunnel_ && piece.head->status / 100 == 2;
  }
  if (!piece.body.empty()) connection.write(stream_, std::move(piece.body));
  if (piece.end && !head_alone) connection.finish(stream_, std::move(piece.trailers));
  wire_.flush();
  // A tunnel is over with its second end, and a connection that is to go then goes: what is said must be out by then.
  while (!error_ && !upload_stopped_ &&
         (connection.queued_bytes(stream_) >= 2 * h2::kSendLowWaterBytes ||
          (tunnel_ && connection.end_queued(stream_)))) {
    drained_.clear();
    const Status waited = co_await drained_.wait(deadline);
    if (!waited) co_return waited;
  }
  if (error_ && (!end_ || tunnel_)) co_return std::unexpected(*error_);
  co_return Status();
}

void H2Message::reset(const Error& why) {
  if (error_) return;
  error_ = why;
  if (stream_ != 0) {
    uint32_t code = h2::kCancel;
    if (why.reason == Reason::stream_reset && why.os_code > 0) code = static_cast<uint32_t>(why.os_code);
    if (wire_.connection().role() == h2::Role::server && why.reason != Reason::stream_reset)
      code = why.reason == Reason::not_reached ? h2::kRefusedStream : h2::kInternalError;
    wire_.connection().reset(stream_, code);
    wire_.flush();
  }
  arrived_.notify();
  drained_.notify();
}

}  // namespace weir::http

// The receiving half of a connection: feed(), what is counted of frames, and nghttp2's receiving callbacks. See
// h2_connection.h.
#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "nodeproxy/http/h2_callbacks.h"

namespace weir::http::h2 {
namespace {

constexpr uint32_t kRepliesMax = 1'000;  // RST_STREAM and ACKs that the peer has not read

std::string_view text_of(const uint8_t* bytes, size_t size) {
  return {reinterpret_cast<const char*>(bytes), size};
}

bool ends_stream(const nghttp2_frame* frame) { return (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0; }

uint32_t stream_of(const nghttp2_frame* frame) { return static_cast<uint32_t>(frame->hd.stream_id); }

}  // namespace

Status Connection::feed(std::span<const std::byte> bytes, io::TimePoint now) {
  if (busy_) std::abort();
  busy_ = true;
  glitches_.advance(now);
  while (!bytes.empty() && !ended_) {
    const FrameReader::Step step = frames_.next(bytes);
    if (step.began) on_frame_begins(frames_.header());
    if (!ended_) receive(bytes.first(step.bytes));
    if (step.ended && !ended_) collect_replies();
    if (step.ended && !ended_) on_frame_ended(frames_.header());
    bytes = bytes.subspan(step.bytes);
  }
  leave();
  if (ended_) return std::unexpected(*ended_);
  return {};
}

// What can be told from a frame's header alone, before nghttp2 acts on the frame.
void Connection::on_frame_begins(const FrameHeader& frame) {
  const bool ack = (frame.flags & kFlagAck) != 0;
  if (frame.length > kFrameBytesMax) {
    broken_rule_ = "a frame is longer than 16 KiB";
    return terminate(kFrameSizeError, broken_reason());
  }
  switch (static_cast<FrameType>(frame.type)) {
    case FrameType::data: data_in_frame_ = false; return check_closed(frame);
    case FrameType::headers:
      continuations_ = 0;
      head_wire_bytes_ += frame.length;
      return check_closed(frame);
    case FrameType::priority:
      if (frame.stream == 0) {  // nghttp2 does not look at PRIORITY any more
        broken_rule_ = "PRIORITY of stream 0";
        return terminate(kProtocolError, broken_reason());
      }
      return add_glitch(Glitch::priority);
    case FrameType::settings:
      if (!ack) add_glitch(Glitch::settings);
      return;
    case FrameType::ping:
      if (ack && pings_under_way_ > 0) return;  // on_pong counts it
      return add_glitch(Glitch::ping);
    case FrameType::goaway: return add_glitch(Glitch::goaway);
    case FrameType::window_update: return add_glitch(Glitch::window_update);
    case FrameType::continuation:
      head_wire_bytes_ += frame.length;
      if (++continuations_ > limits::h2_continuations_max) add_glitch(Glitch::continuation);
      return;
    case FrameType::rst_stream:  // counted by what it resets: reset_received
    case FrameType::push_promise: return;
  }
  add_glitch(Glitch::unknown_frame);
}

// DATA and HEADERS of a stream that is over. If we reset it they were under way, else the peer had ended it itself (RFC
// 9113 section 5.1, "closed"), or left the id out. nghttp2 remembers no closed stream and ignores them all.
void Connection::check_closed(const FrameHeader& frame) {
  frame_of_closed_ = false;
  const Stream* stream = streams_.find(frame.stream);
  if ((stream && !stream->closed) || frame.stream % 2 == 0) return;  // even: nghttp2 refuses it
  const uint32_t highest =
      role_ == Role::server ? highest_peer_stream_ : nghttp2_session_get_next_stream_id(session_.get()) - 2;
  if (frame.stream > highest || frame.stream <= resets_forgotten_ || goaway_sent_) return;
  if (std::find(resets_.begin(), resets_.end(), frame.stream) != resets_.end()) return;
  const bool data = frame.type == static_cast<uint8_t>(FrameType::data);
  if (data && role_ == Role::server) {  // a client's mistake need not cost its other requests
    frame_of_closed_ = true;
    return;
  }
  if (data) {
    broken_rule_ = "DATA of a closed stream";
    return terminate(kStreamClosed, broken_reason());
  }
  const bool skipped_some = role_ == Role::server && peer_streams_ != (highest_peer_stream_ + 1) / 2;
  broken_rule_ = skipped_some ? "HEADERS of a stream below the highest" : "HEADERS of a closed stream";
  terminate(skipped_some ? kProtocolError : kStreamClosed, broken_reason());
}

void Connection::on_frame_ended(const FrameHeader& frame) {
  if (frame.type != static_cast<uint8_t>(FrameType::data)) return;
  if (frame_of_closed_) {
    nghttp2_submit_rst_stream(session_.get(), NGHTTP2_FLAG_NONE, static_cast<int32_t>(frame.stream),
                              kStreamClosed);
    ++counters_.provoked_resets;
    add_glitch(Glitch::provoked_reset);
    if (!ended_) collect_replies();
  } else if (!data_in_frame_ && (frame.flags & kFlagEndStream) == 0) {
    add_glitch(Glitch::empty_data);
  }
}

void Connection::add_glitch(Glitch glitch) {
  if (!glitches_.add(glitch) || ended_) return;
  broken_rule_ = Glitches::rule(glitch);
  terminate(kEnhanceYourCalm, Reason::flood);
}

// Whether one more head may be kept. See limits::h2_heads_gain.
bool Connection::may_hold(size_t head_bytes) const {
  return heads_bytes_ + head_bytes <= limits::h2_heads_free_bytes + limits::h2_heads_gain * head_wire_bytes_;
}

void Connection::keep_head(Stream* stream) {
  stream->head_bytes += static_cast<uint32_t>(reader_.kept_bytes());
  heads_bytes_ += reader_.kept_bytes();
}

void Connection::receive(std::span<const std::byte> bytes) {
  const auto* octets = reinterpret_cast<const uint8_t*>(bytes.data());
  const ssize_t taken = nghttp2_session_mem_recv(session_.get(), octets, bytes.size());
  if (taken < 0 && !ended_) {
    broken_rule_ = nghttp2_strerror(static_cast<int>(taken));
    if (taken == NGHTTP2_ERR_FLOODED) return terminate(kEnhanceYourCalm, Reason::flood);
    if (taken == NGHTTP2_ERR_BAD_CLIENT_MAGIC) return terminate(kProtocolError, broken_reason());
    terminate(kInternalError, Reason::internal);
  }
}

// What nghttp2 has to send but DATA, to control_; below zero: it cannot go on.
ssize_t Connection::take_output() {
  const SessionMemory::Use use(memory_);
  collecting_ = true;
  const uint8_t* bytes = nullptr;
  ssize_t n = 0;
  while ((n = nghttp2_session_mem_send(session_.get(), &bytes)) > 0) {
    const auto* first = reinterpret_cast<const std::byte*>(bytes);
    control_.insert(control_.end(), first, first + n);
  }
  collecting_ = false;
  return n;
}

// nghttp2 answers by itself: ACKs, RST_STREAM, and, on a connection error of which it tells nobody, GOAWAY. Taking its
// control frames out at the end of each frame closes the streams that broke a rule and ends the connection at the frame
// that is to blame, however the bytes were cut.
void Connection::collect_replies() {
  if (ended_ || nghttp2_session_get_outbound_queue_size(session_.get()) == 0) return;
  const ssize_t n = take_output();
  if (n < 0) terminate(kInternalError, Reason::internal);
  note_end();
  if (!ended_ && replies_ > kRepliesMax) add_glitch(Glitch::unread_replies);
}

// A GOAWAY of nghttp2's own has left it.
void Connection::note_end() {
  if (ended_ || !nghttp_end_) return;
  ended_ = error_of(nghttp_end_->error_code);
  broken_rule_ = nghttp_end_->rule.c_str();
  end_streams(ended_->reason, nghttp_end_->error_code);
}

// The head or trailers of a stream begin. A failure here makes nghttp2 skip the block; the RST_STREAM that was submitted
// before stands.
int Callbacks::begin_headers(nghttp2_session* session, const nghttp2_frame* frame, void* user) {
  auto& c = *static_cast<Connection*>(user);
  const uint32_t id = stream_of(frame);
  if (c.role_ == Role::server && frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
    c.highest_peer_stream_ = id;
    ++c.peer_streams_;
    if (c.open_ + c.held_ >= c.settings_.streams_max) {
      ++c.counters_.refused_streams;
      nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id, kRefusedStream);
      c.add_glitch(Glitch::refused_stream);
      return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
    Stream* stream = c.streams_.add(id);
    stream->window_bytes = c.settings_.window_bytes;
    ++c.open_;
    ++c.counters_.streams;
    // Incremental: streams take turns by bytes, whatever the peer would like.
    const nghttp2_extpri fair{NGHTTP2_EXTPRI_DEFAULT_URGENCY, 1};
    nghttp2_session_change_extpri_stream_priority(session, frame->hd.stream_id, &fair, 1);
    c.reader_.begin(HeadReader::Kind::request);
    return 0;
  }
  Stream* stream = c.streams_.find(id);
  if (!stream || stream->closed) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
  if (!stream->head_received) {
    c.reader_.begin(HeadReader::Kind::response);
  } else if (stream->tunnel) {
    c.fault(stream, c.broken_reason(), kProtocolError, "HEADERS inside a CONNECT tunnel");
    ++c.counters_.provoked_resets;
    c.add_glitch(Glitch::provoked_reset);
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
  } else {
    c.reader_.begin(HeadReader::Kind::trailers);
  }
  return 0;
}

int Callbacks::header(nghttp2_session*, const nghttp2_frame*, const uint8_t* name, size_t name_size,
                      const uint8_t* value, size_t value_size, uint8_t, void* user) {
  static_cast<Connection*>(user)->reader_.add(text_of(name, name_size), text_of(value, value_size));
  return 0;
}

// nghttp2 found a fault; what it does about it is seen later, the words for the log only here.
int Callbacks::invalid_frame(nghttp2_session*, const nghttp2_frame*, int error, void* user) {
  auto& c = *static_cast<Connection*>(user);
  c.broken_rule_ = nghttp2_strerror(error);
  if (error != NGHTTP2_ERR_REFUSED_STREAM) return 0;
  ++c.counters_.refused_streams;
  c.add_glitch(Glitch::refused_stream);
  return 0;
}

int Callbacks::frame_received(nghttp2_session*, const nghttp2_frame* frame, void* user) {
  auto& c = *static_cast<Connection*>(user);
  switch (frame->hd.type) {
    case NGHTTP2_HEADERS: headers_received(c, frame); return 0;
    case NGHTTP2_DATA: {
      if (!ends_stream(frame)) return 0;
      Stream* stream = c.streams_.find(stream_of(frame));
      if (!stream || stream->closed) return 0;
      stream->remote_ended = true;
      if (stream->cause == Cause::none && !stream->released) c.events_.on_end(stream->id);
      return 0;
    }
    case NGHTTP2_RST_STREAM: reset_received(c, frame); return 0;
    case NGHTTP2_SETTINGS:
      if ((frame->hd.flags & NGHTTP2_FLAG_ACK) == 0) c.events_.on_settings();
      return 0;
    case NGHTTP2_PING:
      if ((frame->hd.flags & NGHTTP2_FLAG_ACK) == 0 || c.pings_under_way_ == 0) return 0;
      --c.pings_under_way_;
      c.events_.on_pong();
      return 0;
    case NGHTTP2_GOAWAY: goaway_received(c, frame); return 0;
    default: return 0;
  }
}

void Callbacks::headers_received(Connection& c, const nghttp2_frame* frame) {
  Stream* stream = c.streams_.find(stream_of(frame));
  if (!stream || stream->closed || stream->cause != Cause::none) return;
  HeadReader& reader = c.reader_;
  const char* rule = reader.finish();
  if (!rule && !c.may_hold(reader.kept_bytes())) return head_unpaid(c, stream);
  const bool answer_431 = reader.kind() == HeadReader::Kind::request;
  if (reader.too_large()) ++c.counters_.heads_too_large;
  if (rule || (reader.too_large() && !answer_431)) {
    if (rule) {
      c.fault(stream, c.broken_reason(), kProtocolError, rule);
    } else {
      c.fault(stream, Reason::head_too_large, kEnhanceYourCalm, "the head or trailers are above their limit");
    }
    ++c.counters_.provoked_resets;
    return c.add_glitch(Glitch::provoked_reset);
  }
  const bool end = ends_stream(frame);
  if (end) stream->remote_ended = true;
  switch (reader.kind()) {
    case HeadReader::Kind::request: return request_received(c, stream, end);
    case HeadReader::Kind::response: return response_received(c, stream, end);
    case HeadReader::Kind::trailers: return trailers_received(c, stream);
  }
}

// A request may come again, on a connection whose peer has said more. An answer or trailers are above a limit.
void Callbacks::head_unpaid(Connection& c, Stream* stream) {
  ++c.counters_.heads_refused;
  const bool request = c.reader_.kind() == HeadReader::Kind::request;
  c.fault(stream, Reason::head_too_large, request ? kRefusedStream : kEnhanceYourCalm,
          "the heads of the connection's streams are far larger than what was sent for them");
  c.add_glitch(request ? Glitch::refused_stream : Glitch::provoked_reset);
}

void Callbacks::request_received(Connection& c, Stream* stream, bool end) {
  Head& head = c.reader_.head();
  stream->head_received = stream->announced = true;
  c.keep_head(stream);
  stream->head_request = head.method == "HEAD";
  stream->connect = stream->tunnel = head.method == "CONNECT" || head.is_extended_connect();
  if (c.reader_.too_large()) {
    c.broken_rule_ = "the head is above its limit";
    c.events_.on_head_too_large(stream->id, std::move(head), end);
  } else {
    c.events_.on_head(stream->id, std::move(head), end);
  }
}

void Callbacks::response_received(Connection& c, Stream* stream, bool end) {
  Head& head = c.reader_.head();
  c.keep_head(stream);
  if (head.informational()) {
    c.add_glitch(Glitch::informational);
    if (c.ended_) return;
    stream->informational_bytes += static_cast<uint32_t>(c.reader_.kept_bytes());
    if (stream->informational_bytes > c.settings_.head_max_bytes) {
      c.fault(stream, Reason::head_too_large, kEnhanceYourCalm, "the 1xx heads are above their limit");
      ++c.counters_.provoked_resets;
      return;
    }
  } else {
    stream->head_received = true;
    stream->tunnel = stream->connect && head.status / 100 == 2;
    if (stream->connect) head.content_length.reset();  // which nghttp2 does not compare with the DATA
  }
  if (!stream->released) c.events_.on_head(stream->id, std::move(head), end);
}

void Callbacks::trailers_received(Connection& c, Stream* stream) {
  const uint32_t id = stream->id;
  if (stream->released) return;
  c.keep_head(stream);
  c.events_.on_trailers(id, std::move(c.reader_.head().headers));
  stream = c.streams_.find(id);
  if (stream && !stream->released && stream->cause == Cause::none && !stream->closed) c.events_.on_end(id);
}

void Callbacks::reset_received(Connection& c, const nghttp2_frame* frame) {
  Stream* stream = c.streams_.find(stream_of(frame));
  const bool live = stream && !stream->closed;
  if (live && stream->cause == Cause::none) stream->cause = Cause::peer;
  // A server may reset what it was asked; a client that does so asks for work and then does not want it.
  if (live && c.role_ == Role::client) return;
  c.add_glitch(live && !stream->head_sent ? Glitch::rapid_reset : Glitch::reset);
}

void Callbacks::goaway_received(Connection& c, const nghttp2_frame* frame) {
  c.goaway_received_ = true;
  c.goaway_last_ = static_cast<uint32_t>(frame->goaway.last_stream_id);
  c.events_.on_goaway(c.goaway_last_, frame->goaway.error_code);
}

int Callbacks::data(nghttp2_session* session, uint8_t, int32_t id, const uint8_t* bytes, size_t size,
                    void* user) {
  auto& c = *static_cast<Connection*>(user);
  c.data_in_frame_ = true;
  // The connection's window only paces; what one stream's reader leaves lying must not stop the others. Memory is
  // bounded by the windows of the streams.
  nghttp2_session_consume_connection(session, size);
  Stream* stream = c.streams_.find(static_cast<uint32_t>(id));
  if (!stream || stream->closed || stream->released || stream->cause != Cause::none) return 0;
  stream->unconsumed_bytes += static_cast<uint32_t>(size);
  c.events_.on_data(stream->id, {reinterpret_cast<const std::byte*>(bytes), size});
  return 0;
}

int Callbacks::stream_closed(nghttp2_session*, int32_t id, uint32_t error_code, void* user) {
  auto& c = *static_cast<Connection*>(user);
  Stream* stream = c.streams_.find(static_cast<uint32_t>(id));
  if (stream && !stream->closed) c.close(stream, error_code);
  return 0;
}

// Credit goes back when half a window of it is due (nghttp2). The window doubles whenever a whole one was taken by a
// reader that keeps up; a stalled one never grows.
void Connection::consume(uint32_t id, size_t bytes) {
  Stream* stream = streams_.find(id);
  if (!stream) return;
  const auto n = static_cast<uint32_t>(std::min<size_t>(bytes, stream->unconsumed_bytes));
  stream->unconsumed_bytes -= n;
  if (n == 0 || stream->closed || stream->remote_ended || stream->cause != Cause::none || ended_) return;
  const auto wire_id = static_cast<int32_t>(id);
  nghttp2_session_consume_stream(session_.get(), wire_id, n);
  stream->used_bytes += n;
  if (stream->used_bytes < stream->window_bytes || stream->unconsumed_bytes > stream->window_bytes / 4)
    return;
  stream->used_bytes = 0;
  const uint32_t wider = std::min(stream->window_bytes * 2, settings_.window_max_bytes);
  if (wider <= stream->window_bytes) return;
  stream->window_bytes = wider;
  nghttp2_session_set_local_window_size(session_.get(), NGHTTP2_FLAG_NONE, wire_id,
                                        static_cast<int32_t>(wider));
}

}  // namespace weir::http::h2

// The sending half of a connection: heads, bodies, produce(), and nghttp2's sending callbacks. See h2_connection.h.
#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "nodeproxy/http/h2_callbacks.h"
#include "nodeproxy/http/h2_head_writer.h"
#include "nodeproxy/http/h2_rules.h"

namespace weir::http::h2 {
namespace {

// Below this a DATA frame is not worth its header: the rest waits for the next output.
constexpr size_t kDataFrameBytesMin = 1024;
constexpr size_t kControlKeptBytes = 1024;

nghttp2_session_callbacks* make_callbacks() {
  nghttp2_session_callbacks* callbacks = nullptr;
  if (nghttp2_session_callbacks_new(&callbacks) != 0) std::abort();
  return callbacks;
}

}  // namespace

const nghttp2_session_callbacks* Callbacks::all() {
  static const nghttp2_session_callbacks* made = [] {
    nghttp2_session_callbacks* callbacks = make_callbacks();
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, header);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks, invalid_frame);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, frame_received);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, stream_closed);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, frame_sent);
    nghttp2_session_callbacks_set_send_data_callback(callbacks, send_data);
    return callbacks;
  }();
  return made;
}

nghttp2_data_provider Callbacks::body_of(Stream* stream) {
  nghttp2_data_provider provider{};
  provider.source.ptr = stream;  // which stays until nghttp2 has closed the stream
  provider.read_callback = read_body;
  return provider;
}

Result<uint32_t> Connection::request(const Head& head, bool end) {
  if (ended_) return std::unexpected(*ended_);
  const bool used_up = nghttp2_session_get_next_stream_id(session_.get()) > INT32_MAX;
  if (goaway_received_ || goaway_sent_ || used_up) return weir::fail(Source::upstream, Reason::draining);
  if (!can_open()) return weir::fail(Source::upstream, Reason::overloaded);
  const bool extended = goes_as_extended_connect(head);
  if (extended && !takes_extended_connect()) return weir::fail(Source::upstream, Reason::upgrade_refused);
  const char* rule = writer().request(head);
  if (!rule && end && head.content_length.value_or(0) > 0) rule = "a length was declared for no body";
  if (rule) {
    broken_rule_ = rule;
    return weir::fail(Source::local, writer().too_large() ? Reason::head_too_large : Reason::bad_request);
  }
  Stream* stream = streams_.add(nghttp2_session_get_next_stream_id(session_.get()));
  const nghttp2_data_provider body = Callbacks::body_of(stream);
  if (nghttp2_submit_request(session_.get(), nullptr, writer().fields().data(), writer().fields().size(),
                             end ? nullptr : &body, nullptr) < 0)
    std::abort();  // out of memory
  stream->window_bytes = settings_.window_bytes;
  stream->announced = stream->head_sent = true;
  stream->finish_asked = end;
  stream->head_request = head.method == "HEAD";
  stream->connect = head.method == "CONNECT" || extended;
  if (head.content_length && !stream->connect) stream->length_left = *head.content_length;
  ++open_;
  ++counters_.streams;
  return stream->id;
}

Status Connection::respond(uint32_t id, const Head& head, bool end) {
  Stream* stream = streams_.find(id);
  if (!stream || stream->closed || stream->cause != Cause::none || role_ != Role::server || stream->head_sent)
    return weir::fail(Source::downstream, Reason::stream_reset);
  const char* rule = writer().response(head, stream->connect);
  const bool bodyless = stream->head_request || head.status == 204 || head.status == 304;
  if (!rule && end && !bodyless && !stream->connect && head.content_length.value_or(0) > 0)
    rule = "a length was declared for no body";
  if (!rule && end && head.informational()) rule = "an informational answer cannot be the last";
  if (rule) {
    broken_rule_ = rule;
    return weir::fail(Source::local, writer().too_large() ? Reason::head_too_large : Reason::bad_response);
  }
  const auto wire_id = static_cast<int32_t>(id);
  const std::vector<nghttp2_nv>& fields = writer().fields();
  if (head.informational()) {
    nghttp2_submit_headers(session_.get(), NGHTTP2_FLAG_NONE, wire_id, nullptr, fields.data(), fields.size(),
                           nullptr);
    return {};
  }
  const nghttp2_data_provider body = Callbacks::body_of(stream);
  nghttp2_submit_response(session_.get(), wire_id, fields.data(), fields.size(), end ? nullptr : &body);
  stream->head_sent = true;
  stream->finish_asked |= end;
  stream->bodyless = bodyless;
  if (head.content_length && !bodyless && !stream->connect) stream->length_left = *head.content_length;
  return {};
}

// null: nothing can be sent on it any more.
Stream* Connection::sendable(uint32_t id) const {
  Stream* stream = streams_.find(id);
  if (!stream || stream->closed || stream->cause != Cause::none || stream->finish_asked) return nullptr;
  return stream;
}

void Connection::resume(Stream* stream) {
  if (!stream->deferred) return;
  stream->deferred = false;
  nghttp2_session_resume_data(session_.get(), static_cast<int32_t>(stream->id));
}

void Connection::write(uint32_t id, io::Buffer body) {
  Stream* stream = sendable(id);
  if (!stream || body.empty() || stream->bodyless) return;
  if (stream->length_left != kLengthUnknown) {
    if (body.size() > stream->length_left)
      return fault(stream, broken_reason(), kInternalError, "the body is longer than was declared");
    stream->length_left -= body.size();
  }
  stream->queue.push(std::move(body));
  if (stream->queue.size() >= kSendLowWaterBytes) stream->above_low_water = true;
  resume(stream);
}

void Connection::finish(uint32_t id, std::unique_ptr<Headers> trailers) {
  Stream* stream = sendable(id);
  if (!stream) return;
  if (stream->length_left != kLengthUnknown && stream->length_left > 0)
    return fault(stream, broken_reason(), kInternalError, "the body is shorter than was declared");
  if (trailers && !trailers->empty()) {
    if (const char* rule = writer().trailers(*trailers))
      return fault(stream, broken_reason(), kInternalError, rule);
    if (!writer().fields().empty()) stream->trailers = std::move(trailers);
  }
  stream->finish_asked = true;
  resume(stream);
}

void Connection::reset(uint32_t id, uint32_t error_code) {
  Stream* stream = streams_.find(id);
  if (!stream || stream->closed || stream->cause != Cause::none || ended_) return;
  if (error_code == kNoError && role_ == Role::server && stream->head_sent && stream->finish_asked &&
      !stream->end_sent) {
    stream->reset_after_end = true;  // a queued RST_STREAM would keep nghttp2 from sending the answer
    return;
  }
  stream->cause = Cause::owner;
  stream->queue.clear();
  nghttp2_submit_rst_stream(session_.get(), NGHTTP2_FLAG_NONE, static_cast<int32_t>(id), error_code);
}

bool Connection::wants_output() const {
  if (lost_) return false;
  return control_begin_ < control_.size() || nghttp2_session_want_write(session_.get()) != 0;
}

size_t Connection::produce(std::span<std::byte> into) {
  if (busy_) std::abort();
  if (lost_) return 0;
  busy_ = true;
  out_ = into;
  const auto copy = [this](const std::byte* bytes, size_t n) {
    if (n == 0) return;
    std::memcpy(out_.data(), bytes, n);
    out_ = out_.subspan(n);
  };
  const size_t waiting = std::min(control_.size() - control_begin_, out_.size());
  copy(control_.data() + control_begin_, waiting);
  control_begin_ += waiting;
  if (control_begin_ == control_.size()) {
    control_begin_ = replies_ = 0;
    control_.clear();
    if (control_.capacity() > kControlKeptBytes) control_.shrink_to_fit();
    const SessionMemory::Use use(memory_);
    const uint8_t* bytes = nullptr;
    ssize_t n = 0;
    while (control_.empty() && (n = nghttp2_session_mem_send(session_.get(), &bytes)) > 0) {
      const auto* first = reinterpret_cast<const std::byte*>(bytes);
      const size_t fits = std::min(static_cast<size_t>(n), out_.size());
      copy(first, fits);
      control_.assign(first + fits, first + n);
    }
    if (n < 0) terminate(kInternalError, Reason::internal);
    note_end();
  }
  const size_t used = into.size() - out_.size();
  out_ = {};
  call_drained();
  leave();
  return used;
}

// After everything else: an owner may write, reset or release in there.
void Connection::call_drained() {
  for (size_t i = 0; i < drained_.size(); ++i) {
    const Stream* stream = streams_.find(drained_[i]);
    if (stream && !stream->closed && !stream->released && stream->cause == Cause::none)
      events_.on_drained(drained_[i]);
  }
  drained_.clear();
}

// Asked by nghttp2 for the next DATA frame: how long it is to be, and whether it is the last. The bytes go straight to
// the output in send_data.
ssize_t Callbacks::read_body(nghttp2_session* session, int32_t id, uint8_t*, size_t size, uint32_t* flags,
                             nghttp2_data_source* source, void* user) {
  auto& c = *static_cast<Connection*>(user);
  auto* stream = static_cast<Stream*>(source->ptr);
  if (c.collecting_) return NGHTTP2_ERR_PAUSE;
  const size_t queued = stream->queue.size();
  size_t n = std::min(size, queued);
  if (n == 0 && !stream->finish_asked) {
    stream->deferred = true;
    return NGHTTP2_ERR_DEFERRED;
  }
  if (n > 0) {
    if (c.out_.size() < kFrameHeaderBytes + std::min(n, kDataFrameBytesMin)) return NGHTTP2_ERR_PAUSE;
    n = std::min(n, c.out_.size() - kFrameHeaderBytes);
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
  }
  if (n == queued && stream->finish_asked) {
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (stream->trailers) {
      *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
      writer().trailers(*stream->trailers);  // legal: finish() has looked
      nghttp2_submit_trailer(session, id, writer().fields().data(), writer().fields().size());
      stream->trailers.reset();
    }
  }
  return static_cast<ssize_t>(n);
}

int Callbacks::send_data(nghttp2_session*, nghttp2_frame*, const uint8_t* header, size_t size,
                         nghttp2_data_source* source, void* user) {
  auto& c = *static_cast<Connection*>(user);
  auto* stream = static_cast<Stream*>(source->ptr);
  if (c.out_.size() < kFrameHeaderBytes + size || size > stream->queue.size())
    std::abort();  // read_body lied
  std::memcpy(c.out_.data(), header, kFrameHeaderBytes);
  stream->queue.take(size, c.out_.data() + kFrameHeaderBytes);
  c.out_ = c.out_.subspan(kFrameHeaderBytes + size);
  c.glitches_.data_sent(size);
  if (stream->above_low_water && stream->queue.size() < kSendLowWaterBytes) {
    stream->above_low_water = false;
    c.drained_.push_back(stream->id);
  }
  return 0;
}

int Callbacks::frame_sent(nghttp2_session*, const nghttp2_frame* frame, void* user) {
  auto& c = *static_cast<Connection*>(user);
  const bool ack = (frame->hd.flags & NGHTTP2_FLAG_ACK) != 0;
  const auto id = static_cast<uint32_t>(frame->hd.stream_id);
  switch (frame->hd.type) {
    case NGHTTP2_HEADERS:
    case NGHTTP2_DATA: {
      const bool end = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
      if (frame->hd.type == NGHTTP2_DATA && !end) return 0;
      Stream* stream = c.streams_.find(id);
      if (!stream) return 0;
      stream->on_wire = true;
      if (end) c.end_reached(stream);
      return 0;
    }
    case NGHTTP2_RST_STREAM: {
      if (c.collecting_) ++c.replies_;
      uint32_t& slot = c.resets_[c.resets_at_++ % c.resets_.size()];
      c.resets_forgotten_ = std::max(c.resets_forgotten_, slot);
      slot = id;
      return 0;
    }
    case NGHTTP2_SETTINGS:
    case NGHTTP2_PING:
      if (ack && c.collecting_) ++c.replies_;
      return 0;
    case NGHTTP2_GOAWAY: {
      if (c.ended_ || frame->goaway.error_code == NGHTTP2_NO_ERROR) return 0;
      if (std::exchange(c.own_goaway_, false)) return 0;
      const nghttp2_goaway& goaway = frame->goaway;
      c.nghttp_end_.emplace(goaway.error_code, std::string(reinterpret_cast<const char*>(goaway.opaque_data),
                                                           goaway.opaque_data_len));
      return 0;
    }
    default: return 0;
  }
}

// END_STREAM is out. What the peer still sends is not wanted when the owner has said so.
void Connection::end_reached(Stream* stream) {
  stream->end_sent = true;
  if (stream->tunnel) drained_.push_back(stream->id);
  if (!stream->reset_after_end || stream->remote_ended || stream->cause != Cause::none) return;
  stream->cause = Cause::owner;
  nghttp2_submit_rst_stream(session_.get(), NGHTTP2_FLAG_NONE, static_cast<int32_t>(stream->id), kNoError);
}

}  // namespace weir::http::h2

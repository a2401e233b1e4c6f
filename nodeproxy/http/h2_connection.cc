// The life of a connection and of its streams. See h2_connection.h; receiving is in h2_receive.cc, sending in h2_send.cc.
#include "nodeproxy/http/h2_connection.h"

#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "nodeproxy/http/h2_callbacks.h"
#include "nodeproxy/http/h2_head_writer.h"

namespace weir::http::h2 {
namespace {

constexpr size_t kSettingsMax = 32;       // entries of one SETTINGS frame
constexpr size_t kUnsentAcksMax = 1'000;  // inside nghttp2; replies_ bounds them before

const nghttp2_option* options() {
  static const nghttp2_option* made = [] {
    nghttp2_option* option = nullptr;
    if (nghttp2_option_new(&option) != 0) std::abort();
    nghttp2_option_set_no_auto_window_update(option, 1);
    nghttp2_option_set_no_closed_streams(option, 1);
    nghttp2_option_set_max_reserved_remote_streams(option, 0);
    nghttp2_option_set_max_settings(option, kSettingsMax);
    nghttp2_option_set_max_outbound_ack(option, kUnsentAcksMax);
    nghttp2_option_set_max_send_header_block_length(option, 2 * kSentHeadBytesMax);  // HPACK at its worst
    // Debian's 1.52 has both, but the first counts the pieces in which a CONTINUATION's header arrives, and the second
    // looks at a clock of its own: Glitches does their work.
    nghttp2_option_set_max_continuations(option, SIZE_MAX / 2);
    nghttp2_option_set_stream_reset_rate_limit(option, UINT64_MAX / 2, UINT64_MAX / 2);
    return option;
  }();
  return made;
}

}  // namespace

void Connection::SessionDelete::operator()(nghttp2_session* session) const { nghttp2_session_del(session); }

std::unique_ptr<Connection> Connection::server(Events& events, const Settings& settings) {
  return std::unique_ptr<Connection>(new Connection(Role::server, events, settings));
}

std::unique_ptr<Connection> Connection::client(Events& events, const Settings& settings) {
  return std::unique_ptr<Connection>(new Connection(Role::client, events, settings));
}

Connection::Connection(Role role, Events& events, const Settings& settings)
    : role_(role),
      events_(events),
      settings_(settings),
      frames_(role == Role::server),
      reader_(settings.head_max_bytes, settings.fields_max) {
  const SessionMemory::Use use(memory_);
  nghttp2_session* session = nullptr;
  const auto create = role == Role::server ? nghttp2_session_server_new3 : nghttp2_session_client_new3;
  if (create(&session, Callbacks::all(), this, options(), memory_.functions()) != 0)
    std::abort();  // out of memory
  session_.reset(session);
  memory_.made();
  take_output();  // a client's preface is written when the session is made
  submit_settings();
  if (role == Role::client)
    nghttp2_session_set_next_stream_id(session, static_cast<int32_t>(settings.first_stream));
}

Connection::~Connection() {
  if (busy_) std::abort();  // destroyed inside one of its own events
}

void Connection::submit_settings() {
  std::vector<nghttp2_settings_entry> entries = {
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, settings_.window_bytes},
      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, static_cast<uint32_t>(settings_.head_max_bytes)},
  };
  if (role_ == Role::server) {
    entries.push_back({NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, settings_.streams_max});
    entries.push_back({NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1});
    // Peers' priorities are not followed: streams share the connection evenly (h2_receive.cc).
    entries.push_back({NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1});
  } else {
    entries.push_back({NGHTTP2_SETTINGS_ENABLE_PUSH, 0});
  }
  nghttp2_submit_settings(session_.get(), NGHTTP2_FLAG_NONE, entries.data(), entries.size());
  nghttp2_session_set_local_window_size(session_.get(), NGHTTP2_FLAG_NONE, 0,
                                        static_cast<int32_t>(settings_.connection_window_bytes));
}

void Connection::ping() {
  if (ended_) return;
  ++pings_under_way_;
  nghttp2_submit_ping(session_.get(), NGHTTP2_FLAG_NONE, nullptr);
}

void Connection::shutdown_notice() {
  if (!ended_ && role_ == Role::server) nghttp2_submit_shutdown_notice(session_.get());
}

void Connection::goaway(uint32_t error_code) {
  if (ended_ || goaway_sent_) return;
  goaway_sent_ = true;
  own_goaway_ = error_code != kNoError;
  nghttp2_submit_goaway(session_.get(), NGHTTP2_FLAG_NONE,
                        nghttp2_session_get_last_proc_stream_id(session_.get()), error_code, nullptr, 0);
}

void Connection::terminate(uint32_t error_code, Reason reason) {
  if (ended_) return;
  ended_ = Error{role_ == Role::server ? Source::downstream : Source::upstream, reason, 0, {}};
  goaway_sent_ = true;
  nghttp2_session_terminate_session(session_.get(), error_code);
  end_streams(reason, error_code);
}

void Connection::fail(const Error& error) {
  lost_ = true;
  control_.clear();
  control_begin_ = 0;
  if (!ended_) ended_ = error;
  end_streams(ended_->reason, kNoError);
}

bool Connection::finished() const {
  return lost_ || (!wants_output() && (ended_ || nghttp2_session_want_read(session_.get()) == 0));
}

bool Connection::can_open(uint32_t begun) const {
  if (role_ != Role::client || ended_ || goaway_received_ || goaway_sent_) return false;
  if (nghttp2_session_get_next_stream_id(session_.get()) > INT32_MAX) return false;
  return open_ + begun <
         std::min(settings_.streams_max, nghttp2_session_get_remote_settings(
                                             session_.get(), NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS));
}

bool Connection::takes_extended_connect() const {
  return nghttp2_session_get_remote_settings(session_.get(), NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL) == 1;
}

void Connection::set_user(uint32_t id, void* user) {
  if (Stream* stream = streams_.find(id)) stream->user = user;
}

void* Connection::user(uint32_t id) const {
  const Stream* stream = streams_.find(id);
  return stream ? stream->user : nullptr;
}

size_t Connection::queued_bytes(uint32_t id) const {
  const Stream* stream = streams_.find(id);
  return stream ? stream->queue.size() : 0;
}

bool Connection::end_queued(uint32_t id) const {
  const Stream* stream = streams_.find(id);
  return stream && !stream->closed && stream->finish_asked && !stream->end_sent &&
         stream->cause == Cause::none;
}

size_t Connection::unconsumed_bytes(uint32_t id) const {
  const Stream* stream = streams_.find(id);
  return stream ? stream->unconsumed_bytes : 0;
}

void Connection::release(uint32_t id) {
  Stream* stream = streams_.find(id);
  if (!stream || stream->released) return;
  stream->released = true;
  stream->user = nullptr;
  if (stream->closed) {
    held_ -= stream->held;
    forget(stream);
  } else if (stream->finish_asked && role_ == Role::server && !stream->remote_ended) {
    reset(id, kNoError);
  } else if (!stream->finish_asked || !stream->remote_ended) {
    reset(id, kCancel);
  }
}

void Connection::forget(Stream* stream) {
  heads_bytes_ -= stream->head_bytes;
  streams_.remove(stream);
  if (!busy_) streams_.sweep();
}

void Connection::leave() {
  busy_ = false;
  streams_.sweep();
}

// A rule that the peer (or, sending, our own side) broke on a stream: RST_STREAM, and on_reset once nghttp2 closes it.
void Connection::fault(Stream* stream, Reason reason, uint32_t error_code, const char* rule) {
  if (stream->cause != Cause::none) return;
  stream->cause = Cause::fault;
  stream->reason = reason;
  stream->queue.clear();
  broken_rule_ = rule;
  nghttp2_submit_rst_stream(session_.get(), NGHTTP2_FLAG_NONE, static_cast<int32_t>(stream->id), error_code);
}

// nghttp2 has closed it. Why is known from what led there.
void Connection::close(Stream* stream, uint32_t error_code) {
  // Above GOAWAY's last stream, and what was not sent before it, nghttp2 closes with this code as well.
  const bool unprocessed = role_ == Role::client && !stream->head_received && error_code == kRefusedStream;
  if (stream->cause == Cause::owner) {
    tell_closed(stream, false, Reason::cancelled, error_code, false);
  } else if (stream->cause == Cause::fault) {
    tell_closed(stream, true, stream->reason, error_code, false);
  } else if (unprocessed) {
    tell_closed(stream, true, Reason::stream_refused, error_code, true);
  } else if (stream->cause == Cause::peer) {
    tell_closed(stream, true, Reason::stream_reset, error_code, false);
  } else if (error_code == kNoError) {
    glitches_.stream_served();
    tell_closed(stream, false, Reason::none, error_code, false);
  } else {  // nghttp2 found a stream error
    ++counters_.provoked_resets;
    tell_closed(stream, true, broken_reason(), error_code, false);
    add_glitch(Glitch::provoked_reset);
  }
}

void Connection::tell_closed(Stream* stream, bool reset, Reason reason, uint32_t error_code,
                             bool unprocessed) {
  stream->closed = true;
  --open_;
  stream->queue.clear();
  const uint32_t id = stream->id;
  if (stream->released || !stream->announced) return forget(stream);
  if (reset || stream->cause == Cause::owner) {
    stream->held = true;
    ++held_;
  }
  if (reset) events_.on_reset(id, reason, error_code, unprocessed);
  stream = streams_.find(id);  // on_reset may have released it
  if (stream && !stream->released) events_.on_closed(id);
}

void Connection::end_streams(Reason reason, uint32_t error_code) {
  for (const uint32_t id : streams_.ids()) {  // events may release this one, and others
    Stream* stream = streams_.find(id);
    if (!stream || stream->closed) continue;
    const bool unprocessed =
        role_ == Role::client && !stream->head_received && (!stream->on_wire || id > goaway_last_);
    tell_closed(stream, stream->cause != Cause::owner, reason, error_code, unprocessed);
  }
}

Error Connection::error_of(uint32_t error_code) const {
  const Source source = role_ == Role::server ? Source::downstream : Source::upstream;
  return Error{source, error_code == kEnhanceYourCalm ? Reason::flood : broken_reason(), 0, {}};
}

}  // namespace weir::http::h2

// The receiving half of a lane: frames out of plaintext in any split, and every rule of the frames. See lane.h.
#include <algorithm>

#include "nodeproxy/mesh/lane.h"

namespace weir::mesh {

Status Lane::consume(std::span<const std::byte> plaintext) {
  if (ended_) return std::unexpected(*ended_);
  const char* rule = nullptr;
  while (!plaintext.empty() && !rule && !ended_) {
    if (!in_payload_) {
      const size_t n = std::min(kHeaderBytes - header_filled_, plaintext.size());
      std::copy_n(plaintext.data(), n, header_bytes_.data() + header_filled_);
      header_filled_ += static_cast<uint8_t>(n);
      plaintext = plaintext.subspan(n);
      if (header_filled_ < kHeaderBytes) break;
      header_filled_ = 0;
      header_ = decode_header(header_bytes_);
      payload_left_ = header_.length;
      ++counters_.frames_received;
      rule = on_header();
      if (!rule && payload_left_ == 0) rule = on_payload({});
      in_payload_ = payload_left_ > 0;
      continue;
    }
    const size_t n = std::min<size_t>(payload_left_, plaintext.size());
    const std::span<const std::byte> part = plaintext.first(n);
    plaintext = plaintext.subspan(n);
    payload_left_ -= static_cast<uint16_t>(n);
    in_payload_ = payload_left_ > 0;
    if (header_.type == static_cast<uint8_t>(FrameType::data)) {
      on_data(part);  // as it comes: nothing is collected
    } else if (!known(header_.type)) {
      continue;
    } else if (!in_payload_ && payload_.empty()) {
      rule = on_payload(part);
    } else {
      payload_.insert(payload_.end(), part.begin(), part.end());
      if (in_payload_) continue;
      rule = on_payload(payload_);
      payload_ = {};
    }
  }
  if (!rule && control_overflow()) rule = "the peer does not read: more than 64 KiB of control frames wait";
  if (rule && !ended_) {
    broken_rule_ = rule;
    fail(weir::fail(Source::peer, Reason::protocol_error, rule).error());
  }
  if (ended_) return std::unexpected(*ended_);
  return {};
}

// The rules that need no payload.
const char* Lane::on_header() {
  const auto type = static_cast<FrameType>(header_.type);
  if (header_.length > limits::frame_payload_max_bytes) return "a frame is longer than the most";
  if (!peer_settings_ && type != FrameType::settings) return "the first frame is not SETTINGS";
  if (!known(header_.type))
    return header_.flags & kFlagCritical ? "a critical frame of unknown type" : nullptr;
  const bool of_lane = type == FrameType::settings || type == FrameType::ping || type == FrameType::goaway;
  if (of_lane != (header_.session == 0)) return of_lane ? "a frame of the lane names a session" : "session 0";
  if (of_lane) return nullptr;
  if (type == FrameType::open) {
    if (role_ == Role::dialler) return "only the dialler opens";
    return header_.session <= last_accepted_ ? "OPEN's session did not rise" : nullptr;
  }
  if (never_opened(header_.session)) return "a frame of a session that was never opened";
  if (type != FrameType::data) return nullptr;
  if (header_.length == 0) return "DATA is empty";
  Session* session = table_.find(header_.session);
  if (!session) return nullptr;  // ended: its frames are dropped
  if (session->fin_received_) return "DATA after FIN";
  if (role_ == Role::dialler && !session->opened_) return "DATA before OPENED";
  if (header_.length > session->receive_credit_) return "DATA beyond the credit";
  session->receive_credit_ -= header_.length;
  if (header_.flags & kFlagLimited) session->limited_ = true;
  return nullptr;
}

const char* Lane::on_payload(std::span<const std::byte> payload) {
  switch (static_cast<FrameType>(header_.type)) {
    case FrameType::settings: return on_settings(payload);
    case FrameType::open: return on_open(payload);
    case FrameType::fin: return payload.empty() ? on_fin() : "FIN has a payload";
    case FrameType::rst: return on_rst(payload);
    case FrameType::credit: return on_credit(payload);
    case FrameType::goaway: return on_goaway(payload);
    case FrameType::opened: {
      if (!payload.empty()) return "OPENED has a payload";
      if (role_ == Role::acceptor) return "OPENED to an acceptor";
      Session* session = table_.find(header_.session);
      if (!session) return nullptr;
      if (session->opened_) return "OPENED twice";
      session->opened_ = true;
      if (session->events_) session->events_->on_opened();
      return nullptr;
    }
    case FrameType::ping: {
      const std::optional<uint64_t> token = decode_u64(payload);
      if (!token) return "PING is not 8 bytes";
      if (header_.flags & kFlagReply) {
        events_.on_pong(*token);
      } else {
        append_ping(control_, *token, /*reply=*/true);
        ++counters_.frames_sent;
        if (control_overflow()) return "the peer does not read: more than 64 KiB of control frames wait";
      }
      return nullptr;
    }
    case FrameType::data: break;  // goes to on_data
  }
  return nullptr;
}

const char* Lane::on_settings(std::span<const std::byte> payload) {
  if (peer_settings_) return "SETTINGS twice";
  peer_settings_ = decode_settings(payload);
  if (!peer_settings_) return "SETTINGS is malformed";
  const uint32_t more = peer_settings_->initial_window_bytes - uint32_t{limits::session_window_initial_bytes};
  if (more > 0) {
    table_.for_each([&](Session* session) {
      session->send_credit_ += more;
      make_ready(session);
    });
  }
  return nullptr;
}

const char* Lane::on_open(std::span<const std::byte> payload) {
  OpenInfo info;
  const OpenError error = decode_open(payload, info);
  if (error == OpenError::malformed) return "OPEN is malformed";
  last_accepted_ = header_.session;
  const auto refuse = [&](RstReason reason) -> const char* {
    append_rst(control_, header_.session, reason);
    ++counters_.frames_sent;
    return control_overflow() ? "the peer does not read: more than 64 KiB of control frames wait" : nullptr;
  };
  if (error == OpenError::unknown_critical) return refuse(RstReason::bad_open);
  if (goaway_sent_) return refuse(RstReason::draining);
  // A peer that opens and resets in one breath leaves sessions that are off the wire and not yet put away (a connect to
  // be cancelled, a socket to be closed): it may owe us as many as it may have open, and no more.
  const size_t most = options_.settings.sessions_max;
  if (live_ >= most || allocated_ - live_ > most) return refuse(RstReason::overloaded);
  if (!take_window(options_.settings.initial_window_bytes, &Budget::has)) {
    events_.on_refused(info);
    return refuse(RstReason::overloaded);
  }
  events_.on_open(*make_session(header_.session), info);
  return nullptr;
}

const char* Lane::on_fin() {
  Session* session = table_.find(header_.session);
  if (!session) return nullptr;
  if (session->fin_received_) return "FIN twice";
  if (role_ == Role::dialler && !session->opened_) return "FIN before OPENED";
  session->fin_received_ = true;
  if (session->events_) session->events_->on_fin();
  session = table_.find(header_.session);  // on_fin may have ended and released it
  if (session) finish_if_done(session);
  return nullptr;
}

const char* Lane::on_rst(std::span<const std::byte> payload) {
  if (payload.size() != 1) return "RST is not 1 byte";
  Session* session = table_.find(header_.session);
  if (!session) return nullptr;
  const Reason reason = reason_of(static_cast<RstReason>(payload[0]), role_);
  reset_by_peer(session, reason,
                role_ == Role::dialler && !session->opened_ && header_.flags & kFlagRetryable);
  return nullptr;
}

const char* Lane::on_credit(std::span<const std::byte> payload) {
  const std::optional<uint32_t> bytes = decode_u32(payload);
  if (!bytes || *bytes == 0) return "CREDIT is not 4 bytes, or 0";
  Session* session = table_.find(header_.session);
  if (!session) return nullptr;
  if (*bytes > kWindowBytesMax - session->send_credit_) return "the credit is above 1 GiB";
  session->send_credit_ += *bytes;
  make_ready(session);
  return nullptr;
}

const char* Lane::on_goaway(std::span<const std::byte> payload) {
  const std::optional<Goaway> goaway = decode_goaway(payload);
  if (!goaway) return "GOAWAY is malformed";
  if (goaway_received_ && goaway->last_session > goaway_last_) return "GOAWAY's last session rose";
  goaway_received_ = true;
  goaway_last_ = goaway->last_session;
  if (role_ == Role::dialler) {
    std::vector<uint32_t> refused;
    table_.for_each([&](Session* session) {
      if (session->id_ > goaway_last_) refused.push_back(session->id_);
    });
    for (const uint32_t id : refused)
      if (Session* session = table_.find(id)) reset_by_peer(session, Reason::draining, !session->opened_);
  }
  events_.on_goaway(*goaway);
  return nullptr;
}

void Lane::on_data(std::span<const std::byte> bytes) {
  Session* session = table_.find(header_.session);  // each time: the part before may have ended it
  if (!session) return;
  counters_.bytes_received += bytes.size();
  session->bytes_received_ += bytes.size();
  session->unconsumed_bytes_ += static_cast<uint32_t>(bytes.size());
  if (session->events_) session->events_->on_data(bytes);
}

bool Lane::never_opened(uint32_t id) const {
  return role_ == Role::dialler ? id >= next_id_ : id > last_accepted_;
}

// Credit goes back a quarter of the window at a time. The window doubles when it is what holds the sender (it said so)
// while the receiver keeps up; a stalled reader never grows one.
void Lane::return_credit(Session* session, size_t bytes) {
  const auto n = static_cast<uint32_t>(std::min<size_t>(bytes, session->unconsumed_bytes_));
  session->unconsumed_bytes_ -= n;
  if (session->over_ || session->fin_received_) return;
  session->credit_due_ += n;
  if (session->limited_ && session->unconsumed_bytes_ <= session->window_bytes_ / 4) {
    session->limited_ = false;
    const uint32_t more =
        std::min(session->window_bytes_, options_.window_max_bytes - session->window_bytes_);
    if (more > 0 && take_window(more, &Budget::has_for_growth)) {
      session->window_bytes_ += more;
      session->credit_due_ += more;
    }
  }
  if (session->credit_due_ < session->window_bytes_ / 4 || session->credit_listed_) return;
  session->credit_listed_ = true;
  credit_ids_.push_back(session->id_);
}

}  // namespace weir::mesh

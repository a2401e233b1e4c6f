// The life of a lane and of its sessions. See lane.h; receiving is in lane_receive.cc, sending in lane_send.cc.
#include "nodeproxy/mesh/lane.h"

#include <algorithm>
#include <cstdlib>

namespace weir::mesh {

Lane::Lane(Role role, LaneEvents& events, LaneOptions options)
    : role_(role), events_(events), options_(options) {
  append_settings(control_, options_.settings);
  ++counters_.frames_sent;
}

Lane::~Lane() {
  // Those given back that still wait to flush go with the lane. One that is still held would be a dangling pointer.
  while (Session* session = table_.any()) {
    if (!session->released_) std::abort();
    end_session(session);
  }
  if (allocated_ != 0) std::abort();
}

bool Lane::can_open() const {
  const uint32_t peer_max = peer_settings_ ? peer_settings_->sessions_max : limits::sessions_per_lane;
  return role_ == Role::dialler && !ended_ && !goaway_received_ && !goaway_sent_ && next_id_ != UINT32_MAX &&
         live_ < std::min(options_.settings.sessions_max, peer_max) &&
         control_.size() - control_begin_ < limits::lane_control_queue_bytes / 2;
}

Result<Session*> Lane::open(const OpenInfo& info, SessionEvents& events) {
  if (ended_) return std::unexpected(*ended_);
  if (goaway_received_ || goaway_sent_) return weir::fail(Source::peer, Reason::draining);
  const uint32_t window = options_.settings.initial_window_bytes;
  if (!can_open() || !take_window(window, &Budget::has)) return weir::fail(Source::peer, Reason::overloaded);
  Session* session = make_session(next_id_++);
  session->events_ = &events;
  append_open(control_, session->id_, info);
  ++counters_.frames_sent;
  return session;
}

// From every budget, or from none.
bool Lane::take_window(size_t bytes, bool (Budget::*room)(size_t) const) {
  for (const Budget* budget : {options_.budget, options_.peer_budget})
    if (budget && !(budget->*room)(bytes)) return false;
  for (Budget* budget : {options_.budget, options_.peer_budget})
    if (budget) budget->take(bytes);
  return true;
}

void Lane::give_back_window(size_t bytes) {
  for (Budget* budget : {options_.budget, options_.peer_budget})
    if (budget) budget->give_back(bytes);
}

// The window is taken from the budgets already.
Session* Lane::make_session(uint32_t id) {
  auto* session = new Session(this, id);
  session->send_credit_ =
      peer_settings_ ? peer_settings_->initial_window_bytes : uint32_t{limits::session_window_initial_bytes};
  session->window_bytes_ = session->receive_credit_ = options_.settings.initial_window_bytes;
  table_.insert(id, session);
  ++live_;
  ++allocated_;
  ++counters_.sessions_opened;
  return session;
}

void Lane::free_session(Session* session) {
  delete session;
  if (--allocated_ == 0) events_.on_idle();
}

void Lane::end_session(Session* session) {
  table_.erase(session->id_);
  ready_.remove(session);
  drop_queue(session);
  give_back_window(session->window_bytes_);
  session->over_ = true;
  --live_;
  ++counters_.sessions_closed;
  if (session->released_) free_session(session);
}

void Lane::finish_if_done(Session* session) {
  if (session->fin_sent_ && session->fin_received_) end_session(session);
}

void Lane::reset_by_peer(Session* session, Reason reason, bool retryable) {
  SessionEvents* events = session->events_;
  end_session(session);
  if (events) events->on_reset(reason, retryable);
}

void Lane::ping(uint64_t token) {
  if (ended_) return;
  append_ping(control_, token, /*reply=*/false);
  ++counters_.frames_sent;
}

void Lane::goaway(RstReason reason) {
  if (ended_ || goaway_sent_) return;
  goaway_sent_ = true;
  append_goaway(control_, {last_accepted_, reason});
  ++counters_.frames_sent;
}

void Lane::fail(const Error& error) {
  if (!ended_) ended_ = error;
  control_.clear();
  control_begin_ = 0;
  // One at a time: on_reset may release this session, and others.
  while (Session* session = table_.any())
    reset_by_peer(session, ended_->reason, role_ == Role::dialler && !session->opened_);
}

}  // namespace weir::mesh

// What the holder of a session does to it; the lane does the rest. See session.h.
#include "nodeproxy/mesh/session.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "nodeproxy/mesh/lane.h"

namespace weir::mesh {

void Session::accept_open() {
  if (over_ || opened_) return;
  opened_ = true;
  append_empty(lane_->control_, FrameType::opened, id_);
  ++lane_->counters_.frames_sent;
  lane_->make_ready(this);
}

void Session::write(io::Buffer buffer) {
  if (over_ || fin_wanted_ || buffer.empty()) return;
  queued_bytes_ += static_cast<uint32_t>(buffer.size());
  lane_->queued_bytes_ += buffer.size();
  if (queued_bytes_ >= kSendLowWaterBytes) above_low_water_ = true;
  if (first_.empty()) {
    first_ = std::move(buffer);
  } else {
    rest_.push_back(std::move(buffer));
  }
  lane_->make_ready(this);
}

void Session::fin() {
  if (over_ || fin_wanted_) return;
  fin_wanted_ = true;
  lane_->make_ready(this);
}

void Session::reset(RstReason reason) {
  if (over_) return;
  append_rst(lane_->control_, id_, reason);
  ++lane_->counters_.frames_sent;
  lane_->end_session(this);
}

void Session::consumed(size_t bytes) { lane_->return_credit(this, bytes); }

void Session::release() {
  if (released_) std::abort();  // given back twice: somebody holds a pointer that is not his
  released_ = true;
  events_ = nullptr;
  if (over_) return lane_->free_session(this);
  const bool may_send = lane_->role() == Role::dialler || opened_;
  if (!fin_wanted_ || !fin_received_ || !may_send) reset(RstReason::cancelled);
}

bool Session::sendable() const {
  if (over_ || (lane_->role() == Role::acceptor && !opened_)) return false;
  return queued_bytes_ > 0 ? send_credit_ > 0 : fin_wanted_ && !fin_sent_;
}

void Session::take_queued(size_t bytes, std::byte* into) {
  queued_bytes_ -= static_cast<uint32_t>(bytes);
  lane_->queued_bytes_ -= bytes;
  while (bytes > 0) {
    const size_t n = std::min(bytes, first_.size());
    std::memcpy(into, first_.bytes().data(), n);
    first_.consume(n);
    into += n;
    bytes -= n;
    if (!first_.empty()) return;
    first_ = {};
    if (rest_begin_ == rest_.size()) continue;
    first_ = std::move(rest_[rest_begin_++]);
    if (rest_begin_ < rest_.size() && rest_begin_ < 32) continue;
    rest_.erase(rest_.begin(), rest_.begin() + rest_begin_);
    rest_begin_ = 0;
    if (rest_.empty()) rest_.shrink_to_fit();
  }
}

}  // namespace weir::mesh

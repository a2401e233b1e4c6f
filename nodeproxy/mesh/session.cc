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
  lane_->queued_bytes_ += buffer.size();
  queue_.push(std::move(buffer));
  if (queue_.size() >= kSendLowWaterBytes) above_low_water_ = true;
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
  return queue_.size() > 0 ? send_credit_ > 0 : fin_wanted_ && !fin_sent_;
}

void Session::take_queued(size_t bytes, Plaintext& out) {
  lane_->queued_bytes_ -= bytes;
  const bool large = bytes >= Plaintext::kLargeBytes;
  while (bytes > 0) {
    const std::span<const std::byte> front = queue_.front().first(std::min(bytes, queue_.front().size()));
    if (large) {
      out.refer(front);
    } else {
      std::ranges::copy(front, out.add(front.size()).begin());
    }
    bytes -= front.size();
    // Also when it is copied: an earlier frame of this flush may refer to it.
    if (auto used = queue_.consume(front.size())) out.keep(std::move(*used));
  }
}

}  // namespace weir::mesh

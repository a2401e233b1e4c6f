// The sending half of a lane: control frames, credit, then DATA of the sessions in turn. See lane.h, ready_queue.h.
#include <algorithm>
#include <utility>

#include "nodeproxy/mesh/lane.h"

namespace weir::mesh {
namespace {

// Below this a frame is not worth its header and record: the rest waits for the next output.
constexpr size_t kDataFrameBytesMin = 1024;

}  // namespace

bool Lane::wants_output() const {
  return !ended_ && (control_begin_ < control_.size() || !credit_ids_.empty() || !ready_.empty());
}

size_t Lane::produce(std::span<std::byte> into) {
  if (ended_) return 0;
  size_t used = produce_control(into);
  used += produce_credits(into.subspan(used));
  used += produce_data(into.subspan(used));
  call_drained();
  return used;
}

// Any cut is good: what is left comes first next time.
size_t Lane::produce_control(std::span<std::byte> into) {
  const size_t n = std::min(control_.size() - control_begin_, into.size());
  std::copy_n(control_.data() + control_begin_, n, into.data());
  control_begin_ += n;
  if (control_begin_ < control_.size()) return n;
  control_begin_ = 0;
  control_.clear();
  if (control_.capacity() > 1024) control_.shrink_to_fit();
  return n;
}

size_t Lane::produce_credits(std::span<std::byte> into) {
  if (control_begin_ < control_.size()) return 0;
  size_t used = 0, done = 0;
  for (; done < credit_ids_.size() && into.size() - used >= kCreditFrameBytes; ++done) {
    Session* session = table_.find(credit_ids_[done]);
    if (!session) continue;
    session->credit_listed_ = false;
    if (session->fin_received_) continue;
    encode_credit(session->id_, session->credit_due_, into.subspan(used).first<kCreditFrameBytes>());
    session->receive_credit_ += std::exchange(session->credit_due_, 0);
    used += kCreditFrameBytes;
    ++counters_.frames_sent;
  }
  credit_ids_.erase(credit_ids_.begin(), credit_ids_.begin() + static_cast<ptrdiff_t>(done));
  return used;
}

size_t Lane::produce_data(std::span<std::byte> into) {
  if (control_begin_ < control_.size() || !credit_ids_.empty()) return 0;
  size_t used = 0;
  while (Session* session = ready_.next()) {
    if (!session->sendable()) {
      ready_.dry(session);
      continue;
    }
    const size_t n = produce_session(session, into.subspan(used));
    if (n == 0) break;
    used += n;
    if (!session->sendable()) ready_.dry(session);
  }
  return used;
}

// One frame: DATA, or FIN when nothing is left before it. 0: no room.
size_t Lane::produce_session(Session* session, std::span<std::byte> into) {
  const size_t queued = session->queue_.size();
  if (into.size() < kHeaderBytes + std::min(queued, kDataFrameBytesMin)) return 0;
  FrameHeader header{static_cast<uint8_t>(FrameType::fin), 0, 0, session->id_};
  if (queued > 0) {
    const size_t n = std::min(
        {queued, size_t{session->send_credit_}, ready_.allowance(session), into.size() - kHeaderBytes});
    session->send_credit_ -= static_cast<uint32_t>(n);
    session->take_queued(n, into.data() + kHeaderBytes);
    session->bytes_sent_ += n;
    counters_.bytes_sent += n;
    header.type = static_cast<uint8_t>(FrameType::data);
    header.flags = session->send_credit_ == 0 && session->queue_.size() > 0 ? kFlagLimited : 0;
    header.length = static_cast<uint16_t>(n);
  } else {
    session->fin_sent_ = true;
  }
  encode_header(header, into.first<kHeaderBytes>());
  ready_.spent(session, kHeaderBytes + header.length);
  ++counters_.frames_sent;
  if ((session->above_low_water_ && session->queue_.size() < kSendLowWaterBytes) || session->fin_sent_) {
    session->above_low_water_ = false;
    drained_.push_back(session->id_);
  }
  return kHeaderBytes + header.length;
}

// After everything else: a holder may write, reset or release in there.
void Lane::call_drained() {
  for (size_t i = 0; i < drained_.size(); ++i) {
    const uint32_t id = drained_[i];
    Session* session = table_.find(id);
    if (session && session->events_) session->events_->on_drained();
    session = table_.find(id);
    if (session) finish_if_done(session);
  }
  drained_.clear();
}

void Lane::make_ready(Session* session) {
  if (session->sendable()) ready_.add(session);
}

void Lane::drop_queue(Session* session) {
  queued_bytes_ -= session->queue_.size();
  session->queue_.clear();
}

}  // namespace weir::mesh

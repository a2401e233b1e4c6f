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

void Lane::produce(Plaintext& flush) {
  if (ended_) return;
  produce_control(flush);
  produce_credits(flush);
  produce_data(flush);
}

// Any cut is good: what is left comes first next time.
void Lane::produce_control(Plaintext& flush) {
  const size_t n = std::min(control_.size() - control_begin_, flush.room());
  std::copy_n(control_.data() + control_begin_, n, flush.add(n).data());
  control_begin_ += n;
  if (control_begin_ < control_.size()) return;
  control_begin_ = 0;
  control_.clear();
  if (control_.capacity() > 1024) control_.shrink_to_fit();
}

void Lane::produce_credits(Plaintext& flush) {
  if (control_begin_ < control_.size()) return;
  size_t done = 0;
  for (; done < credit_ids_.size() && flush.room() >= kCreditFrameBytes; ++done) {
    Session* session = table_.find(credit_ids_[done]);
    if (!session) continue;
    session->credit_listed_ = false;
    if (session->fin_received_) continue;
    encode_credit(session->id_, session->credit_due_,
                  flush.add(kCreditFrameBytes).first<kCreditFrameBytes>());
    session->receive_credit_ += std::exchange(session->credit_due_, 0);
    ++counters_.frames_sent;
  }
  credit_ids_.erase(credit_ids_.begin(), credit_ids_.begin() + static_cast<ptrdiff_t>(done));
}

void Lane::produce_data(Plaintext& flush) {
  if (control_begin_ < control_.size() || !credit_ids_.empty()) return;
  while (Session* session = ready_.next()) {
    if (session->sendable() && !produce_session(session, flush)) break;
    if (!session->sendable()) ready_.dry(session);
  }
}

// One frame: DATA, or FIN when nothing is left before it. False: no room.
bool Lane::produce_session(Session* session, Plaintext& flush) {
  const size_t queued = session->queue_.size();
  if (flush.room() < kHeaderBytes + std::min(queued, kDataFrameBytesMin)) return false;
  const auto header_room = flush.add(kHeaderBytes).first<kHeaderBytes>();
  FrameHeader header{static_cast<uint8_t>(FrameType::fin), 0, 0, session->id_};
  if (queued > 0) {
    const size_t n =
        std::min({queued, size_t{session->send_credit_}, ready_.allowance(session), flush.room()});
    session->send_credit_ -= static_cast<uint32_t>(n);
    session->take_queued(n, flush);
    session->bytes_sent_ += n;
    counters_.bytes_sent += n;
    header.type = static_cast<uint8_t>(FrameType::data);
    header.flags = session->send_credit_ == 0 && session->queue_.size() > 0 ? kFlagLimited : 0;
    header.length = static_cast<uint16_t>(n);
  } else {
    session->fin_sent_ = true;
  }
  encode_header(header, header_room);
  ready_.spent(session, kHeaderBytes + header.length);
  ++counters_.frames_sent;
  if ((session->above_low_water_ && session->queue_.size() < kSendLowWaterBytes) || session->fin_sent_) {
    session->above_low_water_ = false;
    drained_.push_back(session->id_);
  }
  return true;
}

// A holder may write, reset or release in there.
void Lane::produced() {
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

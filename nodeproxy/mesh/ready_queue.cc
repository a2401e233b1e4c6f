// See ready_queue.h.
#include "nodeproxy/mesh/ready_queue.h"

#include "nodeproxy/mesh/session.h"

namespace weir::mesh {

void ReadyQueue::push(uint8_t list, Session* session) {
  List& to = lists_[list - 1];
  session->ready_list_ = list;
  session->ready_prev_ = to.tail;
  session->ready_next_ = nullptr;
  (to.tail ? to.tail->ready_next_ : to.head) = session;
  to.tail = session;
}

void ReadyQueue::unlink(Session* session) {
  List& from = lists_[session->ready_list_ - 1];
  (session->ready_prev_ ? session->ready_prev_->ready_next_ : from.head) = session->ready_next_;
  (session->ready_next_ ? session->ready_next_->ready_prev_ : from.tail) = session->ready_prev_;
  session->ready_list_ = 0;
}

void ReadyQueue::add(Session* session) {
  if (session->ready_list_ == 0) {
    session->deficit_bytes_ = kFirstQuantumBytes;
    push(kNew, session);
  } else if (session->ran_dry_ && session->deficit_bytes_ > 0) {
    unlink(session);
    push(kNew, session);
  }
  session->ran_dry_ = false;
}

void ReadyQueue::remove(Session* session) {
  if (session->ready_list_ != 0) unlink(session);
}

Session* ReadyQueue::next() {
  for (;;) {
    Session* session = lists_[kNew - 1].head ? lists_[kNew - 1].head : lists_[kOld - 1].head;
    if (!session) return nullptr;
    if (session->deficit_bytes_ > 0) return session;
    session->deficit_bytes_ += kQuantumBytes;  // its next turn, behind all that wait
    session->ran_dry_ = false;                 // this one is not for getting ahead
    unlink(session);
    push(kOld, session);
  }
}

void ReadyQueue::spent(Session* session, size_t bytes) {
  session->deficit_bytes_ -= static_cast<int32_t>(bytes);
}

size_t ReadyQueue::allowance(const Session* session) const {
  const bool alone = !session->ready_next_ && !session->ready_prev_ && (!lists_[0].head || !lists_[1].head);
  if (session->ready_list_ != kNew || alone) return limits::frame_payload_max_bytes;
  return static_cast<size_t>(session->deficit_bytes_);  // of kFirstQuantumBytes
}

void ReadyQueue::dry(Session* session) {
  const bool was_new = session->ready_list_ == kNew;
  unlink(session);
  if (!was_new) return;
  push(kOld, session);
  session->ran_dry_ = true;
}

}  // namespace weir::mesh

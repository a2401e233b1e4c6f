// Events of a session into what a coroutine waits for. See session_stream.h.
#include "nodeproxy/mesh/session_stream.h"

#include <cstring>

namespace weir::mesh {

void SessionStream::attach(Carrier& carrier, Session& session) {
  carrier_ = &carrier;
  session_ = &session;
  session.set_events(this);
}

Status SessionStream::open(Carrier& carrier, const OpenInfo& info) {
  auto session = carrier.open(info, *this);
  if (!session) return std::unexpected(session.error());
  carrier_ = &carrier;
  session_ = *session;
  return {};
}

void SessionStream::accept_open() {
  session_->accept_open();
  carrier_->want_flush();
}

void SessionStream::on_data(std::span<const std::byte> bytes) {
  // Bytes that wait are handed on together: a send for each record would be a wake-up of the application for each.
  if (!received_.empty()) bytes = bytes.subspan(received_.back().append(bytes));
  if (!bytes.empty()) {
    if (busy_ || !received_.empty()) {
      received_.push_back(io::make_room(limits::receive_buffer_large_bytes));
      received_.back().append(bytes);  // a record is smaller
    } else {
      received_.push_back(io::copy_to_buffer(bytes));
    }
  }
  changed_.notify();
}

void SessionStream::on_fin() {
  fin_ = true;
  changed_.notify();
}

void SessionStream::on_reset(Reason reason, bool retryable) {
  retryable_ = retryable;
  untouched_ = retryable && (!session_->lane().ended() || session_->bytes_sent() == 0);
  failed_ = Error{Source::peer, reason, 0, {}};
  opened_.notify();
  changed_.notify();
  drained_.notify();
}

void SessionStream::credit() {
  if (uncredited_bytes_ == 0 || !session_) return;
  session_->consumed(uncredited_bytes_);
  uncredited_bytes_ = 0;
  carrier_->want_flush();
}

void SessionStream::write_now(io::Buffer buffer) {
  if (!session_ || failed_) return;
  session_->write(std::move(buffer));
  carrier_->want_flush();
}

void SessionStream::finish() {
  if (!session_ || failed_) return;
  session_->fin();
  carrier_->want_flush();
}

void SessionStream::abandon(Reason reason) {
  if (!session_ || session_->over()) return;
  session_->reset(rst_reason_of(reason));
  carrier_->want_flush();
}

void SessionStream::give_back() {
  if (!session_) return;
  credit();
  Session* session = std::exchange(session_, nullptr);
  session->release();
  carrier_->want_flush();
  carrier_->released();
}

Result<io::Buffer> SessionStream::Read::await_resume() {
  const Status status = waited_ ? wait_.await_resume() : Status();
  if (!stream_.received_.empty()) {
    io::Buffer buffer = std::move(stream_.received_.front());
    stream_.received_.erase(stream_.received_.begin());
    stream_.uncredited_bytes_ += buffer.size();
    stream_.busy_ = buffer.size() >= limits::frame_payload_max_bytes;
    return buffer;
  }
  if (stream_.failed_) return std::unexpected(*stream_.failed_);
  if (!status) return std::unexpected(status.error());
  return io::Buffer();  // FIN
}

Status SessionStream::Write::await_resume() {
  const Status status = waited_ ? wait_.await_resume() : Status();
  if (stream_.failed_) return std::unexpected(*stream_.failed_);
  return status;
}

}  // namespace weir::mesh

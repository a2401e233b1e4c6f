// Moving bytes between a stream and the HTTP/2 codec. See h2_wire.h.
#include "nodeproxy/http/h2_wire.h"

#include <algorithm>

#include "nodeproxy/io/scratch.h"

namespace weir::http {
namespace {

constexpr size_t kOutputBytes = 64 * 1024;  // what all streams of a turn produce

}  // namespace

H2Wire::H2Wire(io::Driver& driver, io::ByteStream& bytes, h2::Role role)
    : driver_(driver),
      bytes_(bytes),
      connection_(role == h2::Role::server ? h2::Connection::server(*this) : h2::Connection::client(*this)),
      heard_(driver.now()) {
  driver_.timers().arm(*this, driver_.now() + limits::h2_ping);
}

H2Wire::~H2Wire() {
  driver_.timers().disarm(*this);
  driver_.forget(*this);
  messages_.clear();
}

io::Task<void> H2Wire::read() {
  flush();
  Error why{Source::peer, Reason::server_reset, 0, {}};
  for (size_t passed = 0; passed < limits::http_linger_max_bytes;) {
    Result<io::Buffer> buffer = std::exchange(first_, io::Buffer());
    if (buffer->empty()) buffer = co_await bytes_.read();
    if (!buffer) {
      why = buffer.error();
      lost_ = true;
    }
    if (!buffer || buffer->empty()) break;
    if (read_over_) {  // GOAWAY is said: what still comes is passed over, so that no reset overtakes it
      passed += buffer->size();
      continue;
    }
    heard_ = driver_.now();
    pinged_ = false;
    const Status fed = connection_->feed(buffer->bytes(), heard_);
    flush();
    if (fed) continue;
    read_over_ = true;
    wake_unopened();
    output_.notify();
    if (connection_->role() == h2::Role::server) co_return;  // the corridor passes over the rest
  }
  end_of_bytes(why);
}

void H2Wire::end_of_bytes(const Error& why) {
  read_over_ = true;
  if (!connection_->ended()) connection_->fail(why);
  wake_unopened();
  output_.notify();
}

io::Task<void> H2Wire::write() {
  Status written;
  while (written && !connection_->finished() && !(read_over_ && !connection_->wants_output())) {
    if (!connection_->wants_output()) {
      const Status waited = co_await output_.wait();
      if (!waited) break;
      continue;
    }
    const std::span<std::byte> space = io::scratch(kOutputBytes);
    const size_t produced = connection_->produce(space);
    if (produced == 0) continue;
    io::Buffer out = io::copy_to_buffer(space.first(produced));
    written = co_await bytes_.write(std::move(out), io::kNever);
  }
  if (!written) lost_ = true;
  if (!written && !connection_->ended()) connection_->fail(written.error());
  over_ = true;
  on_over();
}

io::Task<Status> H2Wire::accepted(io::TimePoint deadline) {
  while (!accepted_) {
    if (!accepting_) {
      accepting_ = true;
      const Status status = co_await bytes_.accepted(deadline);
      accepting_ = false;
      const bool final = status || (status.error().reason != Reason::cancelled &&
                                    status.error().reason != Reason::detect_timeout);
      if (final) accepted_ = status;
      for (io::Signal* waiter : accept_waiters_) waiter->notify();
      if (!final) co_return status;
    } else {
      io::Signal mine;
      accept_waiters_.push_back(&mine);
      const Status woken = co_await mine.wait(deadline);
      std::erase(accept_waiters_, &mine);
      if (!woken) co_return woken;
    }
  }
  co_return *accepted_;
}

void H2Wire::terminate(Reason why) {
  if (!connection_->ended()) connection_->terminate(why == Reason::none ? h2::kNoError : h2::kCancel, why);
  flush();
  output_.notify();
}

void H2Wire::fire() {
  const auto silence = driver_.now() - heard_;
  if (pinged_ && silence > limits::h2_ping + limits::h2_ping_timeout) {
    if (!connection_->ended()) connection_->fail(Error{Source::peer, Reason::peer_lost, 0, {}});
    output_.notify();
    return;
  }
  if (silence >= limits::h2_ping && !connection_->ended() && connection_->active_streams() > 0) {
    if (!pinged_) connection_->ping();
    pinged_ = true;
    flush();
  }
  driver_.timers().arm(*this, driver_.now() + limits::h2_ping_timeout / 2);
}

H2Message& H2Wire::add(uint32_t stream) {
  messages_.push_back(std::make_unique<H2Message>(*this, stream));
  H2Message& message = *messages_.back();
  if (stream != 0) connection_->set_user(stream, &message);
  return message;
}

uint32_t H2Wire::unopened() const {
  return static_cast<uint32_t>(
      std::count_if(messages_.begin(), messages_.end(), [](const auto& one) { return one->stream() == 0; }));
}

// Those who wait for the peer's SETTINGS.
void H2Wire::wake_unopened() {
  for (const auto& one : messages_)
    if (one->stream() == 0) one->on_drained();
}

void H2Wire::on_settings() {
  heard_settings_ = true;
  wake_unopened();
  on_room();
}

void H2Wire::remove(H2Message& message) {
  const auto found = std::find_if(messages_.begin(), messages_.end(),
                                  [&](const auto& one) { return one.get() == &message; });
  if (found == messages_.end()) return;
  std::swap(*found, messages_.back());
  messages_.pop_back();
  flush();
}

void H2Wire::on_head(uint32_t stream, Head&& head, bool end) {
  H2Message* there = message(stream);
  if (there) {
    there->on_head(std::move(head), end);
    return;
  }
  if (connection_->role() != h2::Role::server) return;
  H2Message& made = add(stream);
  made.on_head(std::move(head), end);
  on_request(made);
}

void H2Wire::on_head_too_large(uint32_t stream, Head&& head, bool end) {
  H2Message& made = add(stream);
  made.on_head(std::move(head), end);
  on_request_too_large(made);
}

void H2Wire::on_data(uint32_t stream, std::span<const std::byte> bytes) {
  if (H2Message* there = message(stream)) there->on_data(bytes);
}

void H2Wire::on_trailers(uint32_t stream, Headers&& trailers) {
  if (H2Message* there = message(stream)) there->on_trailers(std::move(trailers));
}

void H2Wire::on_end(uint32_t stream) {
  if (H2Message* there = message(stream)) there->on_end();
}

void H2Wire::on_reset(uint32_t stream, Reason reason, uint32_t error_code, bool unprocessed) {
  const Source source = connection_->role() == h2::Role::server ? Source::downstream : Source::upstream;
  if (H2Message* there = message(stream)) {
    there->on_reset(Error{source, reason, static_cast<int>(error_code), {}}, unprocessed);
  }
}

// Whoever waits to write more is not told of a drain that closed the stream with it.
void H2Wire::on_closed(uint32_t stream) {
  if (H2Message* there = message(stream)) there->on_drained();
  on_room();
}

void H2Wire::on_drained(uint32_t stream) {
  if (H2Message* there = message(stream)) there->on_drained();
}

}  // namespace weir::http

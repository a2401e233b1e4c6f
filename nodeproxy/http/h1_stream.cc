// Decoding a buffer at a time. See h1_stream.h.
#include "nodeproxy/http/h1_stream.h"

#include <cstring>

namespace weir::http {

io::Task<Status> H1Stream::wait_for_bytes() {
  if (used_ < current_.size()) co_return Status();
  auto buffer = co_await ahead_.take(io::kNever);
  if (!buffer) co_return std::unexpected(buffer.error());
  if (buffer->empty()) co_return fail(Source::downstream, Reason::client_closed);
  current_ = std::move(*buffer);
  used_ = 0;
  co_return Status();
}

io::Task<Result<Piece>> H1Stream::read(io::TimePoint deadline) {
  Piece piece;
  for (;;) {
    if (tunnel_ && used_ < current_.size()) {
      current_.consume(used_);
      used_ = 0;
      piece.body = std::exchange(current_, io::Buffer());
      co_return piece;
    }
    if (!tunnel_) {
      const Result<Made> made = decode(piece);
      if (!made) co_return std::unexpected(made.error());
      if (*made != Made::nothing) co_return piece;
    }
    auto buffer = co_await ahead_.take(deadline);
    if (!buffer) co_return std::unexpected(buffer.error());
    if (buffer->empty()) co_return at_fin(std::move(piece));
    current_ = std::move(*buffer);
    used_ = 0;
  }
}

Result<Piece> H1Stream::at_fin(Piece piece) {
  if (tunnel_) {
    piece.end = true;
    return piece;
  }
  const auto ended = decoder_.end_of_input();
  if (!ended) return std::unexpected(ended.error());
  if (*ended == h1::Decoder::Kind::end) {
    piece.end = true;
    return piece;
  }
  return fail(Source::peer, Reason::server_reset);
}

// What the current buffer gives, up to the end of a message. Informational heads are pieces of their own.
Result<H1Stream::Made> H1Stream::decode(Piece& piece) {
  for (;;) {
    std::span<const std::byte> input = current_.bytes().subspan(used_);
    const auto event = decoder_.next(input);
    if (!event) return std::unexpected(event.error());
    used_ = current_.size() - input.size();
    switch (event->kind) {
      case h1::Decoder::Kind::need_more:  // or over, or at a switch: what is left is not for the decoder
        hand_over_body(piece);
        return piece.head || !piece.body.empty() ? Made::part : Made::nothing;
      case h1::Decoder::Kind::head:
        piece.head = &decoder_.head();
        if (piece.head->informational() || decoder_.at_switch()) return Made::whole;
        break;
      case h1::Decoder::Kind::body: take_body(event->body); break;
      case h1::Decoder::Kind::end:
        if (!decoder_.trailers().empty()) piece.trailers = std::make_unique<Headers>(decoder_.trailers());
        piece.end = true;
        hand_over_body(piece);
        return Made::whole;
    }
  }
}

void H1Stream::take_body(std::span<const std::byte> part) {
  std::byte* const base = current_.writable().data();
  if (body_size_ == 0) {
    body_at_ = static_cast<size_t>(part.data() - base);
  } else {
    std::memmove(base + body_at_ + body_size_, part.data(), part.size());  // over the framing of a chunk
  }
  body_size_ += part.size();
}

void H1Stream::hand_over_body(Piece& piece) {
  if (body_size_ > 0) {
    if (used_ < current_.size()) {  // the next message's bytes stay
      piece.body = io::copy_to_buffer(current_.bytes().subspan(body_at_, body_size_));
    } else {
      piece.body = std::exchange(current_, io::Buffer());
      piece.body.consume(body_at_);
      piece.body.truncate(body_size_);
    }
    body_size_ = 0;
  }
  if (used_ == current_.size() || current_.empty()) {
    current_ = io::Buffer();
    used_ = 0;
  }
}

}  // namespace weir::http

#pragma once
// What both ends of an HTTP/1.1 connection share: bytes into pieces. A read-ahead keeps reading the byte stream; a piece
// is made of what one buffer holds, its body in that buffer's own memory (chunks are moved together in place). After an
// upgrade both directions are plain bytes, passed on as body until FIN.
// Thread: one worker. Lifetime: part of H1Client or H1Server.
#include "nodeproxy/http/h1_decoder.h"
#include "nodeproxy/http/message.h"
#include "nodeproxy/http/read_ahead.h"

namespace weir::http {

class H1Stream {
 public:
  H1Stream(io::ByteStream& bytes, h1::Decoder::Role reads) : ahead_(bytes), decoder_(reads) {}

  // The next piece of the message under way, or of the next one. Errors: the stream's; the decoder's; detect_timeout;
  // client_closed or server_reset where FIN came instead of a message; truncated where it came within one.
  io::Task<Result<Piece>> read(io::TimePoint deadline);
  // Waits until there is something to decode: a byte, FIN or an error.
  io::Task<Status> wait_for_bytes();

  void become_tunnel() { tunnel_ = true; }
  bool tunnel() const { return tunnel_; }
  // Received and not decoded, or waiting to be received.
  bool leftover() const { return used_ < current_.size() || ahead_.ready(); }

  ReadAhead& ahead() { return ahead_; }
  h1::Decoder& decoder() { return decoder_; }
  const h1::Decoder& decoder() const { return decoder_; }

 private:
  enum class Made : uint8_t { nothing, part, whole };
  Result<Made> decode(Piece& piece);
  void take_body(std::span<const std::byte> part);
  void hand_over_body(Piece& piece);
  Result<Piece> at_fin(Piece piece);

  ReadAhead ahead_;
  h1::Decoder decoder_;
  io::Buffer current_;  // received
  size_t used_ = 0;     // of it, decoded
  size_t body_at_ = 0;  // in it: the body of the piece that is being made
  size_t body_size_ = 0;
  bool tunnel_ = false;
};

}  // namespace weir::http

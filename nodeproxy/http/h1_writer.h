#pragma once
// Pieces into the bytes of an HTTP/1.1 connection: what is small goes out as one write, head, body and framing together;
// a large body goes out in its own memory.
// Thread: one worker. Lifetime: part of H1Client or H1Server.
#include <string>

#include "nodeproxy/http/h1_encoder.h"
#include "nodeproxy/io/byte_stream.h"

namespace weir::http {

class H1Writer {
 public:
  explicit H1Writer(io::ByteStream& bytes) : bytes_(bytes) {}

  // Where the encoder appends the head of the next piece.
  std::string& head() { return text_; }
  // How the body of the message under way is delimited; set with its head.
  void frame(h1::Body body) { body_ = body; }
  h1::Body framing() const { return body_; }

  // Writes head() and the piece's body, trailers and end; `last`: and FIN.
  io::Task<Status> send(Piece piece, io::TimePoint deadline, bool last = false);
  // A write has begun and not ended: the connection is of no use any more.
  bool broken() const { return writing_; }

 private:
  io::Task<Status> write(io::Buffer bytes, io::TimePoint deadline, bool last);

  io::ByteStream& bytes_;
  std::string text_;  // head and framing; empty between sends
  h1::Body body_ = h1::Body::none;
  bool writing_ = false;
};

}  // namespace weir::http

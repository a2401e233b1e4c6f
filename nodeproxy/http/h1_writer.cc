// See h1_writer.h.
#include "nodeproxy/http/h1_writer.h"

namespace weir::http {
namespace {

// Below this a copy costs less than a second write.
constexpr size_t kTogetherBytes = 16 * 1024;

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

}  // namespace

io::Task<Status> H1Writer::write(io::Buffer bytes, io::TimePoint deadline, bool last) {
  return last ? bytes_.write_last(std::move(bytes), deadline) : bytes_.write(std::move(bytes), deadline);
}

io::Task<Status> H1Writer::send(Piece piece, io::TimePoint deadline, bool last) {
  const bool chunked = body_ == h1::Body::chunked;
  std::string tail;
  if (chunked && !piece.body.empty()) {
    h1::append_chunk_begin(text_, piece.body.size());
    tail = h1::kChunkEnd;
  }
  if (chunked && piece.end) {
    const Status appended = h1::append_last_chunk(tail, piece.trailers.get());
    if (!appended) co_return appended;
  }
  writing_ = true;
  if (text_.size() + piece.body.size() + tail.size() <= kTogetherBytes) {
    io::Buffer out = io::make_room(text_.size() + piece.body.size() + tail.size());
    out.append(bytes_of(text_));
    out.append(piece.body.bytes());
    out.append(bytes_of(tail));
    text_.clear();
    const Status written = co_await write(std::move(out), deadline, last);
    if (!written) co_return written;
  } else {
    io::Buffer front = io::copy_to_buffer(bytes_of(text_));
    text_.clear();
    Status written = co_await bytes_.write(std::move(front), deadline);
    if (!written) co_return written;
    written = co_await bytes_.write(std::move(piece.body), deadline);
    if (!written) co_return written;
    io::Buffer back = io::copy_to_buffer(bytes_of(tail));
    written = co_await write(std::move(back), deadline, last);
    if (!written) co_return written;
  }
  writing_ = false;
  co_return Status();
}

}  // namespace weir::http

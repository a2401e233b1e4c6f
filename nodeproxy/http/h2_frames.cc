// See h2_frames.h.
#include "nodeproxy/http/h2_frames.h"

#include <algorithm>
#include <cstring>

namespace weir::http::h2 {

FrameReader::Step FrameReader::next(std::span<const std::byte> bytes) {
  Step step;
  if (preface_left_ > 0) {
    step.bytes = std::min<size_t>(preface_left_, bytes.size());
    preface_left_ -= static_cast<uint8_t>(step.bytes);
    return step;
  }
  if (payload_left_ == 0) {  // in a header: of a frame without payload nothing is left here either
    step.bytes = std::min(kFrameHeaderBytes - filled_, bytes.size());
    std::memcpy(raw_.data() + filled_, bytes.data(), step.bytes);
    filled_ += static_cast<uint8_t>(step.bytes);
    if (filled_ < kFrameHeaderBytes) return step;
    filled_ = 0;
    header_.length = uint32_t{raw_[0]} << 16 | uint32_t{raw_[1]} << 8 | raw_[2];
    header_.type = raw_[3];
    header_.flags = raw_[4];
    header_.stream =
        (uint32_t{raw_[5]} << 24 | uint32_t{raw_[6]} << 16 | uint32_t{raw_[7]} << 8 | raw_[8]) & 0x7fffffffU;
    payload_left_ = header_.length;
    step.began = true;
  }
  const size_t n = std::min<size_t>(payload_left_, bytes.size() - step.bytes);
  payload_left_ -= static_cast<uint32_t>(n);
  step.bytes += n;
  step.ended = payload_left_ == 0;
  return step;
}

}  // namespace weir::http::h2

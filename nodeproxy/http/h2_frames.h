#pragma once
// Where frames begin and end in what an HTTP/2 peer sends: their headers are read here, ahead of nghttp2, which calls
// nobody for many of them (ignored, unknown, CONTINUATION of a refused block) and so cannot be counted by. One step of
// next() never crosses the end of a frame, so what is counted for a frame is counted before it is acted on, however the
// bytes were cut.
// Owner: a Connection. Thread: its worker. Source: RFC 9113 sections 3.4 and 4.1.
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace weir::http::h2 {

enum class FrameType : uint8_t {
  data = 0,
  headers = 1,
  priority = 2,
  rst_stream = 3,
  settings = 4,
  push_promise = 5,
  ping = 6,
  goaway = 7,
  window_update = 8,
  continuation = 9,
};

inline constexpr uint8_t kFlagAck = 0x1, kFlagEndStream = 0x1;
inline constexpr size_t kFrameHeaderBytes = 9;
inline constexpr uint32_t kFrameBytesMax =
    16'384;  // of payload: SETTINGS_MAX_FRAME_SIZE is left at its default

struct FrameHeader {
  uint32_t length = 0;
  uint8_t type = 0;
  uint8_t flags = 0;
  uint32_t stream = 0;
};

class FrameReader {
 public:
  // A server's peer sends the connection preface first.
  explicit FrameReader(bool preface) : preface_left_(preface ? 24 : 0) {}

  struct Step {
    size_t bytes = 0;    // of the input
    bool began = false;  // header() became known in it
    bool ended = false;  // the frame's last byte is in it
  };
  // At least one byte of input, at most to the end of the frame.
  Step next(std::span<const std::byte> bytes);
  const FrameHeader& header() const { return header_; }

 private:
  std::array<uint8_t, kFrameHeaderBytes> raw_{};
  FrameHeader header_;
  uint32_t payload_left_ = 0;
  uint8_t preface_left_;
  uint8_t filled_ = 0;  // of raw_
};

}  // namespace weir::http::h2

#pragma once
// Frames written by hand, for what no honest peer sends, and a reader of what comes back.
// Owner: the tests of http/. Thread: one.
#include <nghttp2/nghttp2.h>

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/unit/http/h2_harness.h"

namespace weir::http::h2::test {

using Fields = std::vector<std::pair<std::string, std::string>>;

inline constexpr uint8_t kEndStream = 1, kEndHeaders = 4, kPadded = 8;
inline constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

inline std::string frame(FrameType type, uint8_t flags, uint32_t stream, std::string_view payload = {}) {
  const auto octet = [](uint32_t value) { return static_cast<char>(static_cast<uint8_t>(value)); };
  const auto size = static_cast<uint32_t>(payload.size());
  std::string bytes{
      octet(size >> 16), octet(size >> 8),    octet(size),         octet(static_cast<uint8_t>(type)),
      octet(flags),      octet(stream >> 24), octet(stream >> 16), octet(stream >> 8),
      octet(stream)};
  return bytes.append(payload);
}
inline std::string number(uint32_t value) {
  return {static_cast<char>(value >> 24), static_cast<char>(value >> 16), static_cast<char>(value >> 8),
          static_cast<char>(value)};
}
inline std::string window_update(uint32_t stream, uint32_t bytes) {
  return frame(FrameType::window_update, 0, stream, number(bytes));
}
inline std::string rst(uint32_t stream, uint32_t code) {
  return frame(FrameType::rst_stream, 0, stream, number(code));
}
inline std::string data(uint32_t stream, std::string_view bytes, bool end = false) {
  return frame(FrameType::data, end ? kEndStream : 0, stream, bytes);
}
inline std::string setting(uint16_t id, uint32_t value) {
  return std::string{static_cast<char>(id >> 8), static_cast<char>(id)} + number(value);
}

class Hpack {
 public:
  Hpack() { nghttp2_hd_deflate_new(&deflater_, 4096); }
  ~Hpack() { nghttp2_hd_deflate_del(deflater_); }
  Hpack(const Hpack&) = delete;
  Hpack& operator=(const Hpack&) = delete;

  std::string block(const Fields& fields) {
    std::vector<nghttp2_nv> list;
    for (const auto& [name, value] : fields)
      list.push_back({reinterpret_cast<uint8_t*>(const_cast<char*>(name.data())),
                      reinterpret_cast<uint8_t*>(const_cast<char*>(value.data())), name.size(), value.size(),
                      0});
    std::string out(nghttp2_hd_deflate_bound(deflater_, list.data(), list.size()), '\0');
    out.resize(static_cast<size_t>(nghttp2_hd_deflate_hd(deflater_, reinterpret_cast<uint8_t*>(out.data()),
                                                         out.size(), list.data(), list.size())));
    return out;
  }
  std::string headers(uint32_t stream, const Fields& fields, bool end = true) {
    return frame(FrameType::headers, static_cast<uint8_t>(kEndHeaders | (end ? kEndStream : 0)), stream,
                 block(fields));
  }

 private:
  nghttp2_hd_deflater* deflater_ = nullptr;
};

inline Fields get_fields(const Fields& more = {}) {
  Fields fields = {{":method", "GET"}, {":scheme", "http"}, {":authority", "shop.example"}, {":path", "/"}};
  fields.insert(fields.end(), more.begin(), more.end());
  return fields;
}

struct Frame {
  FrameHeader header;
  std::string payload;
  uint32_t code() const {  // of RST_STREAM and, after the last stream, GOAWAY
    const size_t at = header.type == static_cast<uint8_t>(FrameType::goaway) ? 4 : 0;
    const auto octet = [&](size_t i) { return uint32_t{static_cast<uint8_t>(payload.at(at + i))}; };
    return octet(0) << 24 | octet(1) << 16 | octet(2) << 8 | octet(3);
  }
  bool is(FrameType type) const { return header.type == static_cast<uint8_t>(type); }
};

// A peer of a connection under test, by hand. Its role is the other one.
struct Raw {
  End end;
  Hpack hpack;
  std::vector<Frame> got;
  FrameReader reader;
  std::string payload;

  explicit Raw(Role under_test, const Settings& settings = {})
      : end(under_test, settings), reader(under_test == Role::client) {
    if (under_test == Role::server) say(kPreface);
    say(frame(FrameType::settings, 0, 0));
    say(frame(FrameType::settings, kFlagAck, 0));
    got.clear();
  }
  // Whether the connection goes on; what it answers is in `got`.
  bool say(std::string_view bytes) {
    const bool goes_on = end.feed(bytes_of(bytes)).has_value();
    listen();
    return goes_on;
  }
  void listen() {
    std::vector<std::byte> out;
    while (!(out = end.output()).empty()) {
      std::span<const std::byte> rest = out;
      while (!rest.empty()) {
        const FrameReader::Step step = reader.next(rest);
        if (step.began) payload.clear();
        payload += text_of(rest.first(step.bytes));
        rest = rest.subspan(step.bytes);
        if (!step.ended) continue;
        got.push_back({reader.header(), payload.substr(payload.size() - reader.header().length)});
        payload.clear();
      }
    }
  }
  const Frame* last(FrameType type) const {
    const Frame* found = nullptr;
    for (const Frame& one : got)
      if (one.is(type)) found = &one;
    return found;
  }
  size_t count(FrameType type) const {
    size_t n = 0;
    for (const Frame& one : got) n += one.is(type);
    return n;
  }
  // The code with which a stream was reset; none: −1.
  int64_t reset_code(uint32_t stream) const {
    for (const Frame& one : got)
      if (one.is(FrameType::rst_stream) && one.header.stream == stream) return one.code();
    return -1;
  }
  int64_t goaway_code() const {
    const Frame* goaway = last(FrameType::goaway);
    return goaway ? int64_t{goaway->code()} : -1;
  }
};

}  // namespace weir::http::h2::test
